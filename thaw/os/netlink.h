// SPDX-License-Identifier: Apache-2.0
//
// Netlink: the kernel's links, addresses and routes, IPv4 only, without running `ip`. A Netlink
// belongs to the network namespace in which it was opened. Each call is one request and its
// acknowledgement; they block for microseconds to a few milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

// An IPv4 network: "172.21.0.1/16" is address 172.21.0.1 with prefix 16. Host byte order.
struct Subnet {
  std::uint32_t address = 0;
  int prefix = 32;

  std::uint32_t mask() const { return prefix == 0 ? 0 : ~0U << (32 - prefix); }
  bool overlaps(const Subnet& other) const {
    const std::uint32_t both = mask() & other.mask();
    return (address & both) == (other.address & both);
  }
  // "172.21.0.1/16"
  std::string to_string() const;
  static Result<Subnet> parse(std::string_view text);
};

std::string address_text(std::uint32_t address);

using MacAddress = std::array<std::uint8_t, 6>;

struct VethOptions {
  std::string name;       // here
  std::string peer_name;  // in the other namespace
  int peer_namespace = -1;
  MacAddress peer_mac{};
  int bridge = 0;  // index of the bridge to plug into
};

struct Route {
  Subnet destination;
  int link = 0;
};

class Netlink {
 public:
  static Result<Netlink> open();

  // With an address of its own a bridge keeps it; else it takes that of a link that joins it, and
  // all who know the old one send into the void until they ask again.
  Result<void> make_bridge(const std::string& name, const MacAddress& mac);
  // Both ends up-able; this end is plugged into the bridge, isolated from its other ports, and up.
  Result<void> make_veth(const VethOptions& options);
  Result<void> set_up(int link);
  Result<void> add_address(int link, const Subnet& subnet);
  Result<void> add_default_route(std::uint32_t gateway);
  // A link that does not exist is fine.
  Result<void> remove_link(const std::string& name);
  // IPv4 unicast routes of the main table, without the default route.
  Result<std::vector<Route>> routes();

 private:
  explicit Netlink(Fd socket) : socket_(std::move(socket)) {}
  Result<void> perform(std::string request);

  Fd socket_;
  std::uint32_t sequence_ = 0;
};

// 0 if there is none.
int link_index(const std::string& name);
std::vector<std::string> link_names();

}  // namespace thaw::os
