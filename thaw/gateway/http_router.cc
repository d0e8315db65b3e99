// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/http_router.h"

#include <algorithm>

namespace thaw::gateway {

void HttpRouter::add(std::string prefix, net::HttpHandler handler) {
  routes_.push_back({std::move(prefix), std::move(handler)});
  std::sort(routes_.begin(), routes_.end(),
            [](const Route& a, const Route& b) { return a.prefix.size() > b.prefix.size(); });
}

async::Task<void> HttpRouter::serve(net::HttpExchange& exchange) const {
  if (by_host) {
    if (const net::HttpHandler* handler = by_host(exchange.request())) {
      co_return co_await (*handler)(exchange);
    }
  }
  const std::string_view path = exchange.request().path();
  for (const Route& route : routes_) {
    const bool matches = path.starts_with(route.prefix) &&
                         (path.size() == route.prefix.size() || route.prefix.ends_with('/') ||
                          path[route.prefix.size()] == '/');
    if (matches) {
      co_return co_await route.handler(exchange);
    }
  }
  co_return co_await exchange.answer(404, "application/json",
                                     "{\"error\":\"nothing is served at this path\"}\n");
}

}  // namespace thaw::gateway
