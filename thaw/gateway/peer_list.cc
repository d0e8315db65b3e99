// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/peer_list.h"

#include <algorithm>

#include "thaw/codec/utf8.h"
#include "thaw/net/ip_address.h"

namespace thaw::gateway {

namespace {

constexpr std::string_view mapped = "::ffff:";

std::string without_port(const std::string& peer) {
  const std::string host = peer.substr(0, peer.rfind(':'));
  return host.starts_with('[') && host.ends_with(']') ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

Result<void> check_networks(std::string_view what, const std::vector<std::string>& networks) {
  if (networks.size() > most_networks) {
    return Error::invalid_argument(std::string(what) + " has at most " +
                                   std::to_string(most_networks) + " networks, not " +
                                   std::to_string(networks.size()));
  }
  for (const std::string& network : networks) {
    if (!net::IpNetwork::parse(network)) {
      return Error::invalid_argument(
          "'" + codec::valid_utf8(network.substr(0, 80)) + "' in " + std::string(what) +
          " is no network; networks are written as 10.0.0.0/8 or fd00::/8");
    }
  }
  return ok();
}

bool is_in(const std::vector<std::string>& networks, const std::string& peer) {
  std::string text = without_port(peer);
  // Who comes by IPv4 to a socket of IPv6.
  if (text.starts_with(mapped) && net::IpAddress::parse(text.substr(mapped.size()))) {
    text.erase(0, mapped.size());
  }
  const auto address = net::IpAddress::parse(text);
  return address && std::any_of(networks.begin(), networks.end(), [&](const std::string& one) {
           const auto network = net::IpNetwork::parse(one);
           return network && network->contains(*address);
         });
}

}  // namespace thaw::gateway
