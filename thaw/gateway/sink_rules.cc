// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/sink_rules.h"

#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <cstring>
#include <mutex>
#include <optional>

#include "thaw/base/time.h"

namespace thaw::gateway {

namespace {

using Place = net::IpAddress::Place;

// "HOST:PORT", or HOST alone; an IPv6 address with a port is in brackets.
bool split_port(std::string& text, std::uint16_t& port) {
  const std::size_t colon = text.rfind(':');
  const bool is_bare_v6 = !text.starts_with('[') && text.find(':') != colon;
  if (colon == std::string::npos || is_bare_v6 || text.ends_with(']')) {
    return true;
  }
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, port);
  text.resize(colon);
  return error == std::errc() && rest == end && port != 0;
}

constexpr Duration longest_kept = std::chrono::seconds(10);

// nullopt: it is none that has hosts in it.
std::optional<net::IpNetwork> network_of(const net::IpAddress& address, const sockaddr* mask) {
  if (mask == nullptr || mask->sa_family != (address.is_v4() ? AF_INET : AF_INET6)) {
    return std::nullopt;
  }
  const void* bytes =
      address.is_v4()
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(mask)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(mask)->sin6_addr;
  std::array<std::uint8_t, 16> copy{};
  std::memcpy(copy.data(), bytes, address.is_v4() ? 4 : 16);
  net::IpNetwork network{address, 0};
  for (const std::uint8_t byte : copy) {
    network.prefix += std::popcount(byte);
  }
  return network.prefix == 0 ? std::nullopt : std::optional(network);
}

std::shared_ptr<const Interfaces> read_interfaces() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) {
    return nullptr;
  }
  auto read = std::make_shared<Interfaces>();
  for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
    const auto address =
        one->ifa_addr == nullptr ? std::nullopt : net::IpAddress::of(*one->ifa_addr);
    if (!address) {
      continue;
    }
    read->addresses.push_back(*address);
    if (const auto network = network_of(*address, one->ifa_netmask)) {
      read->networks.push_back(*network);
    }
  }
  ::freeifaddrs(all);
  return read;
}

}  // namespace

Result<SinkRules> SinkRules::parse(const std::vector<std::string>& allowed) {
  SinkRules rules;
  for (const std::string& entry : allowed) {
    std::string text = entry;
    Allowed one;
    bool makes_sense = entry.size() <= 255 && split_port(text, one.port);
    if (text.starts_with('[') && text.ends_with(']')) {
      text = text.substr(1, text.size() - 2);
    }
    if (const auto network = net::IpNetwork::parse(text)) {
      one.network = *network;
    } else {
      std::transform(text.begin(), text.end(), text.begin(),
                     [](unsigned char c) { return std::tolower(c); });
      one.host = text;
      makes_sense = makes_sense && !text.empty() &&
                    std::all_of(text.begin(), text.end(), [](unsigned char c) {
                      return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
                    });
    }
    if (!makes_sense) {
      return Error::invalid_argument("'" + entry.substr(0, 100) +
                                     "' is no host, address or network with or without a port");
    }
    rules.allowed_.push_back(std::move(one));
  }
  return rules;
}

Result<void> SinkRules::judge(const net::WebUrl& url, const net::IpAddress& address) const {
  const auto here = around_.interfaces ? around_.interfaces() : std::make_shared<Interfaces>();
  const auto has = [](const auto& list, const auto& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
  };
  const auto is_in = [&address](const std::vector<net::IpNetwork>& networks) {
    return std::any_of(networks.begin(), networks.end(),
                       [&](const net::IpNetwork& network) { return network.contains(address); });
  };
  const bool is_own_network = is_in(around_.own_networks);
  const Place place = address.place();
  const bool is_this_machine = place == Place::loopback || place == Place::unspecified ||
                               is_own_network || has(here->addresses, address);
  const bool is_own_port = is_this_machine && has(around_.own_ports, url.port);
  for (const Allowed& one : allowed_) {
    const bool is_meant = one.host.empty() ? one.network.contains(address) : one.host == url.host;
    const bool has_port = one.port == 0 ? !is_own_port : one.port == url.port;
    if (is_meant && has_port) {
      return ok();
    }
  }
  const bool is_beside = is_in(here->networks);
  if (place == Place::global && !is_this_machine && !is_beside) {
    return ok();
  }
  const std::string what = is_own_port       ? "a port of this server"
                           : is_own_network  ? "an address of the containers' network"
                           : is_this_machine ? "an address of this machine"
                           : place == Place::global
                               ? "an address of a network that this machine is in"
                               : std::string(net::place_name(place));
  const std::string entry = url.host + (is_own_port ? ":" + std::to_string(url.port) : "");
  return Error::permission_denied("callbacks are not sent to " + url.host + ": " + address.str() +
                                  " is " + what +
                                  "; whoever runs this server may allow it with [callbacks] "
                                  "allow = [\"" +
                                  entry + "\"] in its configuration");
}

std::shared_ptr<const Interfaces> interfaces_of_this_machine() {
  static std::mutex mutex;
  static std::shared_ptr<const Interfaces> last;
  static Instant last_read{};
  const std::lock_guard lock(mutex);
  const Instant now = monotonic_now();
  if (!last || now - last_read >= longest_kept) {
    if (auto read = read_interfaces()) {
      last = std::move(read);
    } else if (!last) {
      return std::make_shared<const Interfaces>();
    }
    last_read = now;
  }
  return last;
}

}  // namespace thaw::gateway
