// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/sink_rules.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace thaw;
using namespace thaw::gateway;

namespace {

SinkRules rules(const std::vector<std::string>& allowed = {}) {
  auto parsed = SinkRules::parse(allowed);
  REQUIRE(parsed);
  SinkRules::Around around;
  around.own_networks = {*net::IpNetwork::parse("172.21.0.1/16")};
  around.interfaces = [] {
    return std::make_shared<const Interfaces>(Interfaces{
        {*net::IpAddress::parse("203.0.114.7"), *net::IpAddress::parse("192.168.1.7")},
        {*net::IpNetwork::parse("203.0.114.7/29"), *net::IpNetwork::parse("192.168.1.7/24")}});
  };
  around.own_ports = {8700};
  parsed->stand(std::move(around));
  return *parsed;
}

bool passes(const SinkRules& by, const std::string& url, const std::string& address) {
  const auto parsed = net::parse_web_url(url);
  REQUIRE(parsed);
  return by.judge(*parsed, *net::IpAddress::parse(address)).has_value();
}

}  // namespace

TEST_CASE("only addresses of the world are sent to, unless the configuration names others") {
  const SinkRules usual = rules();
  CHECK(passes(usual, "https://hooks.example/x", "93.184.216.34"));
  CHECK(passes(usual, "http://hooks.example:8700/x", "93.184.216.34"));
  for (const char* address : {"127.0.0.1",
                              "::1",
                              "::ffff:127.0.0.1",
                              "0.0.0.0",
                              "::",
                              "169.254.169.254",
                              "fe80::1",
                              "10.1.2.3",
                              "192.168.1.1",
                              "172.16.0.1",
                              "100.64.0.1",
                              "fd00::1",
                              "224.0.0.1",
                              "ff02::1",
                              "255.255.255.255",
                              "172.21.3.4",
                              "203.0.114.7",
                              "203.0.114.3",
                              "64:ff9b::7f00:1",
                              "2002:7f00:1::1"}) {
    CAPTURE(address);
    CHECK(!passes(usual, "http://hooks.example/x", address));
  }
}

TEST_CASE("what is allowed by name, address or network passes, and nothing beside it") {
  const SinkRules some = rules(
      {"hooks.lan", "10.1.2.3", "192.168.0.0/16", "127.0.0.1:9000", "[fd00::1]:9000", "localhost"});
  CHECK(passes(some, "http://hooks.lan/x", "10.9.9.9"));
  CHECK(passes(some, "http://HOOKS.lan./x", "10.9.9.9"));
  CHECK(!passes(some, "http://other.lan/x", "10.9.9.9"));
  CHECK(!passes(some, "http://x.hooks.lan/x", "10.9.9.9"));
  CHECK(passes(some, "http://other.lan/x", "10.1.2.3"));
  CHECK(passes(some, "http://other.lan/x", "192.168.77.1"));
  CHECK(passes(some, "http://other.lan:9000/x", "127.0.0.1"));
  CHECK(!passes(some, "http://other.lan:9001/x", "127.0.0.1"));
  CHECK(passes(some, "http://[fd00::1]:9000/x", "fd00::1"));
  CHECK(!passes(some, "http://[fd00::1]/x", "fd00::1"));
  CHECK(passes(some, "http://localhost:5000/x", "127.0.0.1"));
}

TEST_CASE("the server's own ports are allowed only with the port") {
  CHECK(!passes(rules({"localhost"}), "http://localhost:8700/admin", "127.0.0.1"));
  CHECK(!passes(rules({"127.0.0.0/8"}), "http://localhost:8700/admin", "127.0.0.1"));
  CHECK(!passes(rules({"192.168.0.0/16"}), "http://here.lan:8700/admin", "192.168.1.7"));
  CHECK(passes(rules({"192.168.0.0/16"}), "http://there.lan:8700/x", "192.168.1.8"));
  CHECK(passes(rules({"localhost:8700"}), "http://localhost:8700/fn/f", "127.0.0.1"));
}

TEST_CASE("a refusal says what the address is and what would allow it") {
  const auto url = net::parse_web_url("http://router.lan/x");
  const auto refused = rules().judge(*url, *net::IpAddress::parse("192.168.1.1"));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::permission_denied);
  CHECK(refused.error().message().find("private network") != std::string::npos);
  CHECK(refused.error().message().find("[callbacks] allow = [\"router.lan\"]") !=
        std::string::npos);
}

TEST_CASE("this machine's addresses and networks are those that it has by now") {
  const auto here = interfaces_of_this_machine();
  const auto own = *net::IpAddress::parse("127.0.0.1");
  CHECK(std::find(here->addresses.begin(), here->addresses.end(), own) != here->addresses.end());
  CHECK(std::any_of(here->networks.begin(), here->networks.end(), [](const auto& network) {
    return network.contains(*net::IpAddress::parse("127.9.8.7"));
  }));
  CHECK(std::none_of(here->networks.begin(), here->networks.end(), [](const auto& network) {
    return network.contains(*net::IpAddress::parse("93.184.216.34"));
  }));
}

TEST_CASE("an entry that is no host, address or network is told") {
  for (const char* entry : {"", "a b", "10.0.0.0/33", "host:0", "host:99999", "host:", "*.lan",
                            "http://hooks.lan", "[::1"}) {
    CAPTURE(entry);
    CHECK(!SinkRules::parse({entry}));
  }
}
