// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/resolver.h"

#include <sstream>

#include "thaw/os/files.h"
#include "thaw/os/netlink.h"

namespace thaw::sandbox::detail {

namespace {

// The address of a "nameserver" line; empty for any other line.
std::string server_of(const std::string& line) {
  std::istringstream words(line);
  std::string key;
  std::string address;
  words >> key >> address;
  return key == "nameserver" ? address : std::string();
}

bool is_ipv4(const std::string& address) { return os::Subnet::parse(address + "/32").has_value(); }

}  // namespace

std::vector<std::string> name_servers(std::string_view resolv_conf) {
  std::vector<std::string> servers;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line);) {
    const std::string server = server_of(line);
    if (is_ipv4(server) && !server.starts_with("127.")) {
      servers.push_back(server);
    }
  }
  return servers;
}

std::string reachable_resolvers(std::string_view resolv_conf) {
  const bool has_ipv4 = !name_servers(resolv_conf).empty();
  std::string kept;
  bool any = false;
  std::istringstream lines{std::string(resolv_conf)};
  for (std::string line; std::getline(lines, line);) {
    const std::string server = server_of(line);
    const bool unreachable =
        server.starts_with("127.") || server == "::1" || (has_ipv4 && !is_ipv4(server));
    if (!server.empty() && unreachable) {
      continue;
    }
    any = any || !server.empty();
    kept += line + "\n";
  }
  return any ? kept : std::string();
}

std::string resolver_text(SandboxSpec::Network network) {
  const auto own = os::read_text("/etc/resolv.conf");
  if (network == SandboxSpec::Network::host) {
    return own ? *own : std::string();
  }
  std::string text = reachable_resolvers(own ? *own : std::string());
  if (!text.empty()) {
    return text;
  }
  // systemd-resolved listens on loopback and keeps the real servers in a file of its own.
  const auto real = os::read_text("/run/systemd/resolve/resolv.conf");
  return reachable_resolvers(real ? *real : std::string());
}

}  // namespace thaw::sandbox::detail
