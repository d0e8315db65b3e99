// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/scaling_limits.h"

#include <doctest/doctest.h>

using namespace thaw;
using dialect::modal::bound_scaling;
using dialect::modal::container_count;

TEST_CASE("a number of containers off the wire is never negative") {
  CHECK(container_count(3) == 3);
  CHECK(container_count(0x7fffffff) == 100'000);
  CHECK(container_count(0xffffffff) == 100'000);
}

TEST_CASE("more kept containers than one function can have are refused with the limit") {
  model::FunctionSpec spec;
  spec.name = "f";
  spec.scaling.min_containers = 5;
  CHECK(bound_scaling(spec, 5, 6));
  spec.scaling.min_containers = 6;
  const auto refused = bound_scaling(spec, 5, 6);
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::invalid_argument);
  CHECK(refused.error().message().find("min_containers=6") != std::string::npos);
  CHECK(refused.error().message().find("can have 5 of the 6") != std::string::npos);
  CHECK(refused.error().message().find("[containers] max") != std::string::npos);
}

TEST_CASE("bounds are brought down to what can be, and may not contradict each other") {
  model::FunctionSpec spec;
  spec.scaling.max_containers = -1;
  spec.scaling.buffer_containers = 1'000'000;
  spec.scaling.scaledown_window = std::chrono::hours(1'000'000);
  REQUIRE(bound_scaling(spec, 5, 6));
  CHECK(spec.scaling.max_containers == 0);
  CHECK(spec.scaling.buffer_containers == 5);
  CHECK(spec.scaling.scaledown_window == std::chrono::hours(24 * 30));
  spec.scaling.min_containers = 3;
  spec.scaling.max_containers = 2;
  CHECK(!bound_scaling(spec, 5, 6));
}
