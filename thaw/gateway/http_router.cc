// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/http_router.h"

#include <algorithm>

namespace thaw::gateway {

void HttpRouter::add(std::string prefix, net::HttpHandler handler) {
  add_signed(std::move(prefix), std::move(handler), nullptr);
}

void HttpRouter::add_signed(std::string prefix, net::HttpHandler handler, Check is_genuine) {
  routes_.push_back({std::move(prefix), std::move(handler), std::move(is_genuine)});
  std::sort(routes_.begin(), routes_.end(),
            [](const Route& a, const Route& b) { return a.prefix.size() > b.prefix.size(); });
}

const HttpRouter::Route* HttpRouter::route_of(std::string_view path) const {
  for (const Route& route : routes_) {
    const bool matches = path.starts_with(route.prefix) &&
                         (path.size() == route.prefix.size() || route.prefix.ends_with('/') ||
                          path[route.prefix.size()] == '/');
    if (matches) {
      return &route;
    }
  }
  return nullptr;
}

async::Task<void> HttpRouter::serve(net::HttpExchange& exchange) const {
  Result<void> served = co_await serve_route(exchange);
  if (served || exchange.responded() || served.error().code() == Code::cancelled || !told) {
    co_return served;
  }
  co_return co_await exchange.answer_error(Error(served.error().code(), told(served.error())));
}

async::Task<void> HttpRouter::serve_route(net::HttpExchange& exchange) const {
  const net::HttpRequest& request = exchange.request();
  if (request.peer.transport == net::Peer::Transport::door) {
    co_return by_door ? co_await by_door(exchange)
                      : Result<void>(Error::not_found("nothing is served at this door"));
  }
  const Route* route = route_of(request.path());
  const net::HttpHandler* function = by_host ? by_host(request) : nullptr;
  const bool is_ours = function && route && route->is_genuine && route->is_genuine(request);
  if (function && !is_ours) {
    co_return co_await (*function)(exchange);
  }
  if (route) {
    co_return co_await route->handler(exchange);
  }
  co_return co_await exchange.answer(404, "application/json",
                                     "{\"error\":\"nothing is served at this path\"}\n");
}

std::vector<std::string> HttpRouter::prefixes() const {
  std::vector<std::string> all;
  for (const Route& route : routes_) {
    all.push_back(route.prefix);
  }
  return all;
}

}  // namespace thaw::gateway
