// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

TEST_SUITE_BEGIN("security.network");

TEST_CASE("without a network there is loopback only") {
  if (skipped()) return;
  House house;
  CHECK(house.out_of({"connect", "192.0.2.1", "80"}) == "ENETUNREACH\n");
  CHECK(house.out_of({"connect", "127.0.0.1", "80"}) == "ECONNREFUSED\n");
}

TEST_CASE("the machine's own credentials at the link-local address are out of reach") {
  if (skipped()) return;
  House house(House::Networking::on);
  CHECK(house.out_of({"connect", "169.254.169.254", "80"}) != "ok\n");
}

TEST_CASE("a sandbox with a network cannot listen to or send raw packets") {
  if (skipped()) return;
  House house(House::Networking::on);
  CHECK(house.out_of({"raw"}) == "EPERM\n");
  CHECK(house.out_of({"packet"}) == "EAFNOSUPPORT\n");
}

TEST_SUITE_END();
