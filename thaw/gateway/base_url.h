// SPDX-License-Identifier: Apache-2.0
//
// BaseUrl: how somebody reaches this server, "https://host:port": what every address that is made
// for him begins with. Whoever asked over TLS gets addresses of TLS, at the host that he asked.
#pragma once

#include <string>

namespace thaw::gateway {

struct BaseUrl {
  std::string scheme = "http";  // or "https"
  std::string authority;        // host, with the port if there is one

  // Followed by a path that begins with a slash.
  std::string operator+(const std::string& path) const { return scheme + "://" + authority + path; }
};

}  // namespace thaw::gateway
