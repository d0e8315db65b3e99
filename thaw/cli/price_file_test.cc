// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/price_file.h"

#include <doctest/doctest.h>

namespace thaw::cli {

TEST_CASE("a price file says what other clouds take, to the billionth") {
  const auto read = read_price_file(R"(
clouds:
  - name: by the call
    per_call: 0.0000002
    gb_second: 0.0000166667
    round_to_s: 0.001
    minimum_s: 0.1
  - name: by the container
    bills: containers
    bills_starts: false
    second: 0.001
    gpu_second:
      A100: 0.000583
    percent: 30
)");
  REQUIRE_MESSAGE(read, (read ? "" : read.error().message()));
  REQUIRE(read->size() == 2);
  CHECK(read->at(0).table.per_call == 200);
  CHECK(read->at(0).table.gb_second == 16'666);
  CHECK(read->at(0).table.round_to_us == 1'000);
  CHECK(read->at(0).table.minimum_us == 100'000);
  CHECK(read->at(0).bills == CloudPrices::Bills::calls);
  CHECK(read->at(1).bills == CloudPrices::Bills::containers);
  CHECK(!read->at(1).bills_starts);
  CHECK(read->at(1).table.gpu_second.at("A100") == 583'000);
  CHECK(read->at(1).table.percent == 30);
}

TEST_CASE("what is no price file is refused, with its line") {
  for (const char* wrong :
       {"", "clouds:", "clouds: []", "clouds:\n  - per_call: 1",
        "clouds:\n  - name: a\n    seconds: 1", "clouds:\n  - name: a\n    second: -1",
        "clouds:\n  - name: a\n    bills: minutes", "clouds: {", "- name: a"}) {
    const auto read = read_price_file(wrong);
    CHECK_MESSAGE(!read, wrong);
  }
  CHECK(read_price_file("clouds:\n  - name: a\n    second: x").error().message().find("line 3") !=
        std::string::npos);
}

}  // namespace thaw::cli
