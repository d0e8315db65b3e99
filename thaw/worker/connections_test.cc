// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/connections.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <string>

using namespace thaw;
using namespace thaw::worker;

TEST_CASE("connections of a network that is not the machine's are counted as the kernel tells") {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n"
      "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000\n"
      "   1: 070015AC:1F90 010015AC:C350 01 00000000:00000000 00:00000000 00000000\n"
      "   2: 0100007F:1F90 0100007F:C351 01 00000000:00000000 00:00000000 00000000\n"
      "   3: 070015AC:1F90 010015AC:C352 06 00000000:00000000 00:00000000 00000000\n"
      "   4: 070015AC:1F90 010015AC:C353 08 00000000:00000000 00:00000000 00000000\n";
  CHECK(count_connections_in(table) == 2);
  CHECK(count_connections_in("  sl\n 0: 0000000000000000FFFF00000100007F:1F90 "
                             "0000000000000000FFFF00000100007F:C350 01 0\n") == 0);
  CHECK(count_connections_in("") == 0);
  CHECK(count_connections_in("garbage\nin it\n") == 0);
  CHECK(has_listener_in(table, 8080));
  CHECK_FALSE(has_listener_in(table, 8081));
  CHECK_FALSE(has_listener_in("garbage\nin it\n", 8080));
  CHECK(count_connections(::getpid()));
  CHECK_FALSE(count_connections(-1));
}

TEST_CASE("what waits at a port is seen in the queues of both ends, and of who listens there") {
  const auto table_of = [](const std::string& entry) {
    return "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n   0: " +
           entry + " 00:00000000 00000000\n";
  };
  constexpr std::uint16_t door = 0x2329;
  const std::string quiet = "00000000:00000000";
  CHECK_FALSE(has_queued_in(table_of("0100007F:2329 0100007F:C350 01 " + quiet), door));
  CHECK_FALSE(has_queued_in(table_of("0100007F:C350 0100007F:2329 01 " + quiet), door));
  CHECK_FALSE(has_queued_in(table_of("0100007F:1F90 0100007F:C350 01 00000001:00000000"), door));
  CHECK(has_queued_in(table_of("0100007F:2329 0100007F:C350 01 00000001:00000000"), door));
  CHECK(has_queued_in(table_of("0100007F:C350 0100007F:2329 01 00000000:000000A0"), door));
  CHECK(has_queued_in(table_of("0100007F:2329 00000000:0000 0A 00000000:00000001"), door));
  CHECK(has_queued_in(table_of("0000000000000000FFFF00000100007F:C350 "
                               "0000000000000000FFFF00000100007F:2329 01 00000000:00000001"),
                      door));
  CHECK_FALSE(has_queued_in("", door));
  CHECK_FALSE(has_queued_in("garbage\nin:it 2329 :2329\n", door));
  CHECK(has_queued(::getpid(), door));
  CHECK_FALSE(has_queued(-1, door));
}
