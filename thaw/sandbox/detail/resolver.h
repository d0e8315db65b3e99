// SPDX-License-Identifier: Apache-2.0
//
// Which name servers a sandbox asks: the host's, as far as they can be reached from a network of
// its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

// The text of a resolv.conf for a network namespace: without servers on the host's loopback, and
// without IPv6 servers where there is an IPv4 one. Empty if no server is left.
std::string reachable_resolvers(std::string_view resolv_conf);

// For a sandbox, from the host's files as they are now.
std::string resolver_text(SandboxSpec::Network network);

// IPv4 addresses of the servers in such a text.
std::vector<std::string> name_servers(std::string_view resolv_conf);

}  // namespace thaw::sandbox::detail
