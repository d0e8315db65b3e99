// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/held_output.h"

#include <doctest/doctest.h>

#include <optional>
#include <vector>

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("output that waits has a bound per workspace, and leaves room for others") {
  HeldOutput held;
  const model::WorkspaceId greedy("ac-1");
  const model::WorkspaceId other("ac-2");
  std::vector<HeldOutput::Hold> holds;
  while (true) {
    auto hold = held.take(greedy, 60u << 20);
    if (!hold) {
      CHECK(hold.error().code() == Code::resource_exhausted);
      break;
    }
    holds.push_back(std::move(*hold));
  }
  CHECK(holds.size() == 8);
  CHECK(held.take(other, 60u << 20));
  holds.pop_back();
  CHECK(held.take(greedy, 60u << 20));
  holds.clear();
  CHECK(held.take(greedy, 500u << 20));
}

TEST_CASE("a process with little memory holds little output") {
  HeldOutput held;
  held.fit_into(300u << 20);
  const model::WorkspaceId one("ac-1");
  const auto refused = held.take(one, 40u << 20);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("at most 37 MiB") != std::string::npos);
  CHECK(held.take(one, 20u << 20));
  HeldOutput large;
  large.fit_into(UINT64_MAX);
  CHECK(large.take(one, 500u << 20));
}
