// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/peer_list.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::gateway;

TEST_CASE("a list of networks says which of its entries is none") {
  CHECK(check_networks("the list", {}));
  CHECK(check_networks("the list", {"0.0.0.0/0", "::/0", "10.0.0.0/8", "10.0.0.0/8", "1.2.3.4"}));
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0/8", "10.0.0.0/8/8", "fd00::/129", "a.example",
                          "10.0.0.0/8 ", "10.0.0.0/-1", "1.2.3.4;flush ruleset"}) {
    const auto checked = check_networks("the list", {"10.0.0.0/8", bad});
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code() == Code::invalid_argument);
    CHECK(checked.error().message().find(std::string("'") + bad + "' in the list") == 0);
  }
}

TEST_CASE("a list has so many networks") {
  CHECK(check_networks("the list", std::vector<std::string>(most_networks, "10.0.0.0/8")));
  const auto more =
      check_networks("the list", std::vector<std::string>(most_networks + 1, "10.0.0.0/8"));
  REQUIRE_FALSE(more);
  CHECK(more.error().message() == "the list has at most 1000 networks, not 1001");
}

TEST_CASE("a peer is in a network of its own family, however it is written") {
  const std::vector<std::string> some = {"10.0.0.0/8", "fd00::/8"};
  CHECK(is_in(some, "10.1.2.3:99"));
  CHECK(is_in(some, "[::ffff:10.1.2.3]:99"));
  CHECK(is_in(some, "[fd00::1]:99"));
  CHECK_FALSE(is_in(some, "11.1.2.3:99"));
  CHECK_FALSE(is_in(some, "[fe80::1]:99"));
  CHECK_FALSE(is_in(some, ""));
  CHECK_FALSE(is_in(some, "somebody"));
  CHECK_FALSE(is_in({}, "10.1.2.3:99"));
}
