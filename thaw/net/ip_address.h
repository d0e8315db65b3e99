// SPDX-License-Identifier: Apache-2.0
//
// IpAddress: an IPv4 or IPv6 address as a value, what kind of place it is, and networks of them. An
// IPv4 address that is written as an IPv6 one (::ffff:127.0.0.1, and what translators make) counts
// as what it is. Pure; any thread.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::net {

class IpAddress {
 public:
  // nullopt: another family.
  static std::optional<IpAddress> of(const sockaddr& address);
  // "10.1.2.3", "fe80::1"; nothing else, no brackets and nothing behind a NUL.
  static std::optional<IpAddress> parse(const std::string& text);

  std::string str() const;
  bool is_v4() const { return is_v4_; }
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  // Of them `global` is where strangers' addresses are; the others are this machine's, its
  // network's, or no host's.
  enum class Place {
    global,
    loopback,
    unspecified,
    link_local,
    multicast,
    private_network,  // also carriers' and unique local ones
    reserved,         // for documentation, tests, translation, or nothing
  };
  Place place() const;

  bool operator==(const IpAddress&) const = default;

 private:
  bool is_v4_ = false;
  std::array<std::uint8_t, 16> bytes_{};  // of an IPv4 address the first four
};

// "an address of this machine" and the like, for people.
std::string_view place_name(IpAddress::Place place);

struct IpNetwork {
  IpAddress address;
  int prefix = 0;

  bool contains(const IpAddress& other) const;
  // "10.0.0.0/8", "fd00::/8", or one address.
  static std::optional<IpNetwork> parse(const std::string& text);
};

}  // namespace thaw::net
