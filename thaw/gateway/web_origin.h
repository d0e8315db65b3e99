// SPDX-License-Identifier: Apache-2.0
//
// Where a web request comes from and which address it was made to. A proxy in front of the server
// says both in X-Forwarded-For, -Proto and -Host; these are believed of the proxies that the
// operator trusts, and of nobody else. Values only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/net/http.h"

namespace thaw::gateway {

struct WebOrigin {
  std::string scheme;     // "http" or "https"
  std::string authority;  // host, with the port if it was given
  std::string client;     // "ADDRESS:PORT"; port 0 if a proxy named the address
};

class TrustedProxies {
 public:
  // Networks such as "10.0.0.0/8", or single addresses; invalid_argument names what is neither.
  static Result<TrustedProxies> parse(const std::vector<std::string>& networks);

  WebOrigin origin_of(const net::HttpRequest& request) const;
  // Of what has come by another protocol.
  WebOrigin origin_of(const net::Peer& peer, WebOrigin origin, const net::Headers& headers) const;

 private:
  struct Network {
    int family = 0;
    std::array<std::uint8_t, 16> bytes{};
    int bits = 0;
  };
  bool trusts(std::string_view address) const;

  std::vector<Network> networks_;
};

// Names of the headers above: what a stranger says in them must not reach an application.
bool is_forwarded_header(std::string_view name);
// What an application is told in them.
net::Headers forwarded_headers(const WebOrigin& origin);

// An application at `root_path` believes that it has a host of its own: where it sends its caller
// to at this address is below its root path, unless it says so itself.
void keep_below(const WebOrigin& origin, const std::string& root_path, net::Headers& headers);

}  // namespace thaw::gateway
