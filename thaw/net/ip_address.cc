// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/ip_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace thaw::net {

namespace {

struct Range {
  const char* network;
  IpAddress::Place place;
};

using Place = IpAddress::Place;

// The first that fits counts.
constexpr Range ranges[] = {
    {"0.0.0.0/8", Place::unspecified},
    {"127.0.0.0/8", Place::loopback},
    {"169.254.0.0/16", Place::link_local},
    {"10.0.0.0/8", Place::private_network},
    {"172.16.0.0/12", Place::private_network},
    {"192.168.0.0/16", Place::private_network},
    // Machines of clouds ask their hosts at these, for credentials among other things; one more is
    // below.
    {"100.100.100.200/32", Place::link_local},
    {"fd00:ec2::/32", Place::link_local},
    {"fd20:ce::254/128", Place::link_local},
    {"fd00:c1::a9fe:a9fe/128", Place::link_local},
    {"fd00:42::42/128", Place::link_local},
    {"100.64.0.0/10", Place::private_network},
    {"224.0.0.0/4", Place::multicast},
    {"192.0.0.0/24", Place::reserved},
    {"192.0.2.0/24", Place::reserved},
    {"198.18.0.0/15", Place::reserved},
    {"198.51.100.0/24", Place::reserved},
    {"203.0.113.0/24", Place::reserved},
    {"240.0.0.0/4", Place::reserved},
    {"168.63.129.16/32", Place::link_local},
    {"::/128", Place::unspecified},
    {"::1/128", Place::loopback},
    {"fe80::/10", Place::link_local},
    {"fec0::/10", Place::private_network},
    {"fc00::/7", Place::private_network},
    {"ff00::/8", Place::multicast},
    {"2001:db8::/32", Place::reserved},
    {"100::/64", Place::reserved},
    {"::/8", Place::reserved},
};

IpAddress v4_at(const IpAddress& address, std::size_t offset) {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  std::memcpy(&in.sin_addr, address.bytes().data() + offset, 4);
  return *IpAddress::of(reinterpret_cast<const sockaddr&>(in));
}

// Where the IPv4 address stands in IPv6 ones that carry one: NAT64 and 6to4.
std::optional<std::size_t> carried_at(const IpAddress& address) {
  static const IpNetwork nat64 = *IpNetwork::parse("64:ff9b::/96");
  static const IpNetwork six_to_four = *IpNetwork::parse("2002::/16");
  return nat64.contains(address)         ? std::optional<std::size_t>(12)
         : six_to_four.contains(address) ? std::optional<std::size_t>(2)
                                         : std::nullopt;
}

}  // namespace

std::optional<IpAddress> IpAddress::of(const sockaddr& address) {
  IpAddress out;
  if (address.sa_family == AF_INET) {
    out.is_v4_ = true;
    std::memcpy(out.bytes_.data(), &reinterpret_cast<const sockaddr_in&>(address).sin_addr, 4);
    return out;
  }
  if (address.sa_family != AF_INET6) {
    return std::nullopt;
  }
  const in6_addr& six = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  const bool is_mapped = IN6_IS_ADDR_V4MAPPED(&six);
  out.is_v4_ = is_mapped;
  std::memcpy(out.bytes_.data(), six.s6_addr + (is_mapped ? 12 : 0), is_mapped ? 4 : 16);
  return out;
}

std::optional<IpAddress> IpAddress::parse(const std::string& text) {
  if (text.find('\0') != std::string::npos) {
    return std::nullopt;  // the calls below read no further
  }
  sockaddr_in four{};
  four.sin_family = AF_INET;
  if (::inet_pton(AF_INET, text.c_str(), &four.sin_addr) == 1) {
    return of(reinterpret_cast<const sockaddr&>(four));
  }
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  if (::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr) == 1) {
    return of(reinterpret_cast<const sockaddr&>(six));
  }
  return std::nullopt;
}

std::string IpAddress::str() const {
  char text[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(is_v4_ ? AF_INET : AF_INET6, bytes_.data(), text, sizeof text);
  return text;
}

IpAddress::Place IpAddress::place() const {
  if (const auto at = is_v4_ ? std::nullopt : carried_at(*this)) {
    return v4_at(*this, *at).place();
  }
  for (const Range& range : ranges) {
    if (IpNetwork::parse(range.network)->contains(*this)) {
      return range.place;
    }
  }
  return Place::global;
}

std::string_view place_name(IpAddress::Place place) {
  switch (place) {
    case Place::global: return "an address of the world";
    case Place::loopback: return "an address of this machine";
    case Place::unspecified: return "an address of no machine";
    case Place::link_local: return "an address that holds on one link only";
    case Place::multicast: return "an address of many machines";
    case Place::private_network: return "an address of a private network";
    case Place::reserved: return "a reserved address";
  }
  return "an address";
}

bool IpNetwork::contains(const IpAddress& other) const {
  if (address.is_v4() != other.is_v4()) {
    return false;
  }
  const std::size_t whole = static_cast<std::size_t>(prefix) / 8;
  const int rest = prefix % 8;
  if (!std::equal(address.bytes().begin(), address.bytes().begin() + static_cast<long>(whole),
                  other.bytes().begin())) {
    return false;
  }
  const auto mask = static_cast<std::uint8_t>(0xff00 >> rest);
  return rest == 0 || (address.bytes()[whole] & mask) == (other.bytes()[whole] & mask);
}

std::optional<IpNetwork> IpNetwork::parse(const std::string& text) {
  const std::size_t slash = text.find('/');
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) {
    return std::nullopt;
  }
  IpNetwork network{*address, address->is_v4() ? 32 : 128};
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    int prefix = -1;
    const auto [rest, error] = std::from_chars(text.data() + slash + 1, end, prefix);
    if (error != std::errc() || rest != end || prefix < 0 || prefix > network.prefix) {
      return std::nullopt;
    }
    network.prefix = prefix;
  }
  return network;
}

}  // namespace thaw::net
