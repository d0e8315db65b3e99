// SPDX-License-Identifier: Apache-2.0
//
// HttpRouter: plain HTTP requests by the longest prefix of their path, or by the first label of
// their host. Filled by main before the server listens.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/net/http.h"

namespace thaw::gateway {

class HttpRouter {
 public:
  // `prefix` matches whole path segments: "/blobs" matches "/blobs" and "/blobs/x".
  void add(std::string prefix, net::HttpHandler handler);
  // Takes a request by its Host header; asked first.
  std::function<const net::HttpHandler*(const net::HttpRequest&)> by_host;

  async::Task<void> serve(net::HttpExchange& exchange) const;

 private:
  struct Route {
    std::string prefix;
    net::HttpHandler handler;
  };
  std::vector<Route> routes_;
};

}  // namespace thaw::gateway
