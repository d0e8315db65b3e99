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
};

// Replaces the instance's table.
Result<void> add_rules(const Rules& rules);
// TCP port of the bridge's own address that containers may reach.
Result<void> allow_port(const std::string& instance, std::uint16_t port);
// No table is fine.
void remove_rules(const std::string& instance);

}  // namespace thaw::sandbox::detail
