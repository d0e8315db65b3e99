// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/alias_shares.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::cli;

TEST_CASE("names have numbers behind them, each name once") {
  const auto read = named_numbers({"live=10", "de-1=4294967295"}, "NAME=WEIGHT");
  REQUIRE(read);
  CHECK(*read == std::map<std::string, std::uint32_t>{{"live", 10}, {"de-1", 4294967295}});
  CHECK(named_numbers({}, "NAME=WEIGHT")->empty());
  for (const char* text :
       {"live", "=1", "live=", "live=x", "live=1x", "live=-1", "live=1.5", "live=4294967296", ""}) {
    CHECK_MESSAGE(!named_numbers({text}, "NAME=WEIGHT"), text);
  }
  CHECK_FALSE(named_numbers({"a=1", "a=2"}, "NAME=WEIGHT"));
}
