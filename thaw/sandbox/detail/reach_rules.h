// SPDX-License-Identifier: Apache-2.0
//
// The packet rules inside one sandbox's own network, for one that reaches only the networks of a
// list. They are in its namespace and end with it; nothing inside may change them, since nothing
// inside has powers over networks, or can send past them. They look at single packets and remember
// nothing: a sandbox cannot fill the kernel's tables through them.
#pragma once

#include <string>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::sandbox::detail {

inline constexpr std::size_t most_reached = 1'000;

// invalid_argument: too many, or one that is no network of IPv4 or IPv6.
Result<void> check_reached(const std::vector<std::string>& networks);

// What `nft` is told, of networks that have been checked. What leaves by loopback is the sandbox's
// own; at `bridge_address` is who relays the world to it, and is answered.
std::string reach_rules(const std::vector<std::string>& networks,
                        const std::string& bridge_address);

}  // namespace thaw::sandbox::detail
