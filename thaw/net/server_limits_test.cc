// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "thaw/net/server.h"

using namespace thaw;
using namespace thaw::net;

TEST_CASE("peers get a part of what a process may have") {
  const ServerLimits plain;
  const std::uint64_t gib = std::uint64_t{1} << 30;
  CHECK(within(plain, 1u << 20, 24 * gib).connections == 20'000);
  CHECK(within(plain, 1u << 20, 24 * gib).buffer_bytes == 512u << 20);
  CHECK(within(plain, 20'000, gib).connections == 10'000);
  CHECK(within(plain, 256, gib).connections == 64);
  CHECK(within(plain, 256, 300u << 20).buffer_bytes == 50u << 20);
  CHECK(within(plain, 16, 1).connections == 8);
  CHECK(within(plain, 16, 1).buffer_bytes == 4u << 20);
}
