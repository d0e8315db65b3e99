// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/reach_rules.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>

namespace thaw::sandbox::detail {

namespace {

struct Listed {
  int family = AF_INET;
  std::string text;  // its first address and its prefix
  bool is_all = false;
};

// With the bits of hosts cleared: `nft` merges what overlaps, and takes no second spelling of one.
std::optional<Listed> network_of(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::string address = text.substr(0, slash);
  Listed network;
  network.family = address.find(':') == std::string::npos ? AF_INET : AF_INET6;
  const int bits = network.family == AF_INET ? 32 : 128;
  std::uint8_t bytes[16] = {};
  if (address.find('\0') != std::string::npos ||
      ::inet_pton(network.family, address.c_str(), bytes) != 1) {
    return std::nullopt;
  }
  int prefix = bits;
  if (slash != std::string::npos) {
    const char* const end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + slash + 1, end, prefix);
    if (read.ec != std::errc() || read.ptr != end || prefix < 0 || prefix > bits) {
      return std::nullopt;
    }
  }
  for (int bit = prefix; bit < bits; ++bit) {
    bytes[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> (bit % 8)));
  }
  char written[INET6_ADDRSTRLEN] = {};
  ::inet_ntop(network.family, bytes, written, sizeof written);
  network.text = std::string(written) + "/" + std::to_string(prefix);
  network.is_all = prefix == 0;
  return network;
}

// An interval of all addresses is none that a set takes: then the family needs no set.
std::string accepted(const std::vector<Listed>& networks, int family, const char* word) {
  std::string elements;
  for (const Listed& network : networks) {
    if (network.family != family) {
      continue;
    }
    if (network.is_all) {
      return std::string("  meta nfproto ") + (family == AF_INET ? "ipv4" : "ipv6") + " accept\n";
    }
    elements += (elements.empty() ? "" : ", ") + network.text;
  }
  return elements.empty() ? std::string()
                          : std::string("  ") + word + " daddr { " + elements + " } accept\n";
}

}  // namespace

Result<void> check_reached(const std::vector<std::string>& networks) {
  if (networks.size() > most_reached) {
    return Error::invalid_argument("a sandbox reaches at most " + std::to_string(most_reached) +
                                   " networks of a list");
  }
  const auto bad = std::find_if_not(networks.begin(), networks.end(),
                                    [](const auto& text) { return network_of(text).has_value(); });
  if (bad != networks.end()) {
    return Error::invalid_argument("'" + bad->substr(0, 80) + "' is no network");
  }
  return ok();
}

std::string reach_rules(const std::vector<std::string>& networks,
                        const std::string& bridge_address) {
  std::vector<Listed> known;
  for (const std::string& text : networks) {
    if (auto network = network_of(text)) {
      known.push_back(std::move(*network));
    }
  }
  return "table inet reach {\n"
         " chain output { type filter hook output priority filter; policy drop;\n"
         "  oifname \"lo\" accept\n"
         "  ip daddr " +
         bridge_address + " tcp flags & (syn | ack) != syn accept\n" +
         accepted(known, AF_INET, "ip") + accepted(known, AF_INET6, "ip6") +
         "  reject with icmpx admin-prohibited\n }\n}\n";
}

}  // namespace thaw::sandbox::detail
