// SPDX-License-Identifier: Apache-2.0
//
// SinkRules: which addresses callbacks may be sent to. The server stands where its callers do not:
// beside other services of its machine and network, which trust whoever reaches them. So only
// addresses of the world are reached, and what the configuration names. A private network is
// somebody else's until the one who runs the server says otherwise: who may call a function is not
// for that allowed to write to the router. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/net/ip_address.h"
#include "thaw/net/web_client.h"

namespace thaw::gateway {

// Of this machine: its addresses, and the networks that they are in.
struct Interfaces {
  std::vector<net::IpAddress> addresses;
  std::vector<net::IpNetwork> networks;
};
// As they are, or were at most 10 s ago. Any thread.
std::shared_ptr<const Interfaces> interfaces_of_this_machine();

class SinkRules {
 public:
  struct Allowed {
    std::string host;          // a name, as it stands in the address; or
    net::IpNetwork network{};  // if `host` is empty
    std::uint16_t port = 0;    // 0: all but the server's own
  };
  struct Around {
    std::vector<net::IpNetwork> own_networks;  // the containers'
    std::vector<std::uint16_t> own_ports;      // the server's
    // This machine's, asked for each time: they come and go. None: it has none.
    std::function<std::shared_ptr<const Interfaces>()> interfaces;
  };

  // "10.1.2.3", "10.0.0.0/8", "hooks.lan", each with ":PORT" or without; "[fd00::1]:9000".
  // invalid_argument names the entry.
  static Result<SinkRules> parse(const std::vector<std::string>& allowed);
  void stand(Around around) { around_ = std::move(around); }

  // permission_denied says which address it is, and what would allow it.
  Result<void> judge(const net::WebUrl& url, const net::IpAddress& address) const;

 private:
  std::vector<Allowed> allowed_;
  Around around_;
};

}  // namespace thaw::gateway
