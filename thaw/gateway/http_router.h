// SPDX-License-Identifier: Apache-2.0
//
// HttpRouter: plain HTTP requests. What comes by a container's door has a handler of its own. What
// this server has signed is served first, at every host; then a function's own host belongs to its
// function; and at every other host the routes are the server's own, by the longest prefix of their
// path. Filled by main before the server listens.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "thaw/net/http.h"

namespace thaw::gateway {

class HttpRouter {
 public:
  using Check = std::function<bool(const net::HttpRequest&)>;

  // `prefix` matches whole path segments: "/blobs" matches "/blobs" and "/blobs/x".
  void add(std::string prefix, net::HttpHandler handler);
  // Of addresses that carry a signature, which `is_genuine` looks at.
  void add_signed(std::string prefix, net::HttpHandler handler, Check is_genuine);
  // The handler of a request to a function's own host; nullptr for every other host.
  std::function<const net::HttpHandler*(const net::HttpRequest&)> by_host;

  // Whatever comes by the door of a container.
  net::HttpHandler by_door;

  // What a client is told of an Error that its route has not answered itself.
  std::function<std::string(const Error&)> told;

  async::Task<void> serve(net::HttpExchange& exchange) const;
  // In the order in which they are tried.
  std::vector<std::string> prefixes() const;

 private:
  struct Route {
    std::string prefix;
    net::HttpHandler handler;
    Check is_genuine;  // may be empty
  };
  async::Task<void> serve_route(net::HttpExchange& exchange) const;
  const Route* route_of(std::string_view path) const;

  std::vector<Route> routes_;
};

}  // namespace thaw::gateway
