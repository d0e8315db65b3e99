// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/ip_address.h"

#include <doctest/doctest.h>

using namespace thaw::net;
using Place = IpAddress::Place;

TEST_CASE("an address is of the place that its network is") {
  const std::pair<const char*, Place> table[] = {
      {"93.184.216.34", Place::global},
      {"172.15.255.255", Place::global},
      {"172.32.0.0", Place::global},
      {"100.63.255.255", Place::global},
      {"100.128.0.0", Place::global},
      {"2606:2800:220:1::1", Place::global},
      {"127.0.0.1", Place::loopback},
      {"127.255.255.254", Place::loopback},
      {"::1", Place::loopback},
      {"0.0.0.0", Place::unspecified},
      {"0.1.2.3", Place::unspecified},
      {"::", Place::unspecified},
      {"169.254.169.254", Place::link_local},
      {"168.63.129.16", Place::link_local},
      {"fe80::1", Place::link_local},
      {"10.0.0.1", Place::private_network},
      {"172.16.0.1", Place::private_network},
      {"172.31.255.255", Place::private_network},
      {"192.168.1.1", Place::private_network},
      {"100.100.100.199", Place::private_network},
      {"fd00::1", Place::private_network},
      // Where clouds give out a machine's credentials.
      {"100.100.100.200", Place::link_local},
      {"::ffff:169.254.169.254", Place::link_local},
      {"64:ff9b::a9fe:a9fe", Place::link_local},
      {"fd00:ec2::254", Place::link_local},
      {"fd00:ec2::23", Place::link_local},
      {"fd20:ce::254", Place::link_local},
      {"fd00:c1::a9fe:a9fe", Place::link_local},
      {"fd00:42::42", Place::link_local},
      {"fe80::a9fe:a9fe", Place::link_local},
      {"224.0.0.1", Place::multicast},
      {"ff02::1", Place::multicast},
      {"255.255.255.255", Place::reserved},
      {"192.0.0.192", Place::reserved},
      {"2001:db8::1", Place::reserved},
      // IPv4 addresses in IPv6 clothes.
      {"::ffff:127.0.0.1", Place::loopback},
      {"::ffff:10.0.0.1", Place::private_network},
      {"::ffff:93.184.216.34", Place::global},
      {"::127.0.0.1", Place::reserved},
      {"64:ff9b::7f00:1", Place::loopback},
      {"64:ff9b::5db8:d822", Place::global},
      {"2002:a00:1::1", Place::private_network},
  };
  for (const auto& [text, place] : table) {
    CAPTURE(text);
    const auto address = IpAddress::parse(text);
    REQUIRE(address);
    CHECK(place_name(address->place()) == place_name(place));
  }
}

TEST_CASE("an address that is mapped is the IPv4 address, and what is no address is none") {
  CHECK(IpAddress::parse("::ffff:10.1.2.3") == IpAddress::parse("10.1.2.3"));
  CHECK(IpAddress::parse("::ffff:10.1.2.3")->str() == "10.1.2.3");
  for (const char* text :
       {"", "localhost", "127.1", "0x7f.0.0.1", "[::1]", "1.2.3.4.5", "::1%lo"}) {
    CAPTURE(text);
    CHECK(!IpAddress::parse(text));
  }
}

TEST_CASE("a network has the addresses of its prefix") {
  const auto has = [](const char* network, const char* address) {
    return IpNetwork::parse(network)->contains(*IpAddress::parse(address));
  };
  CHECK(has("10.0.0.0/8", "10.255.0.1"));
  CHECK(!has("10.0.0.0/8", "11.0.0.1"));
  CHECK(has("192.168.4.0/22", "192.168.7.1"));
  CHECK(!has("192.168.4.0/22", "192.168.8.1"));
  CHECK(has("10.1.2.3", "10.1.2.3"));
  CHECK(!has("10.1.2.3", "10.1.2.4"));
  CHECK(has("fd00::/8", "fd12::1"));
  CHECK(!has("0.0.0.0/0", "::1"));
  for (const char* text : {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0.0/8x", "a/8"}) {
    CAPTURE(text);
    CHECK(!IpNetwork::parse(text));
  }
}
