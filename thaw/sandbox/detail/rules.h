// SPDX-License-Identifier: Apache-2.0
//
// The packet rules of one server, one nftables table named after the instance, written by `nft`
// when the network is prepared and never on the way of a start.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/netlink.h"

namespace thaw::sandbox::detail {

struct Rules {
  std::string instance;
  std::string bridge;
  os::Subnet subnet;  // with the bridge's own address
  // Asked for names wherever they are, this machine included.
  std::vector<std::string> name_servers;
  std::vector<std::string> refused_networks;  // besides the clouds' own
  std::vector<std::string> allowed_networks;
  // Of one container at a time, and on average in a second.
  std::uint32_t connections = 4096;
  std::uint32_t new_connections = 300;
};

// The host's table of connections is everybody's: a container gets a small part of it.
std::uint32_t connections_of_one();

// Replaces the instance's table.
Result<void> add_rules(const Rules& rules);
// TCP port of the bridge's own address that containers may reach.
Result<void> allow_port(const std::string& instance, std::uint16_t port);
// None of those any more.
Result<void> forbid_ports(const std::string& instance);
// No table is fine.
void remove_rules(const std::string& instance);

}  // namespace thaw::sandbox::detail
