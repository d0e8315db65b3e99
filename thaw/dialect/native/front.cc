// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/front.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"

namespace thaw::dialect::native {

using async::Task;

namespace {

constexpr std::string_view fn_prefix = "/fn/";

// The version or alias that a request asks for, in its address or by its header; empty: for none.
Result<std::string> asked_of(const net::HttpRequest& request, std::string in_address) {
  const std::string by_header(request.headers.find(version_header).value_or(""));
  if (!in_address.empty() && !by_header.empty() && in_address != by_header) {
    return Error::invalid_argument("the address asks for " + in_address.substr(0, 80) +
                                   " and the " + version_header + " header for " +
                                   by_header.substr(0, 80) + "; ask for one of them");
  }
  return in_address.empty() ? by_header : in_address;
}

Task<void> answer_json_error(net::HttpExchange& exchange, int status, std::string text) {
  if (exchange.is_grpc()) {
    co_return co_await exchange.answer_error(
        {status == 504 ? Code::deadline_exceeded : Code::unavailable, std::move(text)});
  }
  co_return co_await exchange.answer(status, "application/json",
                                     codec::dump_json({{"error", std::move(text)}}) + "\n");
}

Task<void> answer_busy(net::HttpExchange& exchange, std::string text) {
  if (exchange.is_grpc()) {
    co_return co_await exchange.answer_error(Error::resource_exhausted(std::move(text)));
  }
  const std::string body = codec::dump_json({{"error", std::move(text)}}) + "\n";
  net::Headers headers;
  headers.add("retry-after", "1");
  headers.add("content-type", "application/json");
  headers.add("content-length", std::to_string(body.size()));
  THAW_CO_TRY_VOID(co_await exchange.respond(429, std::move(headers)));
  THAW_CO_TRY_VOID(co_await exchange.write(body));
  co_return co_await exchange.finish();
}

Task<void> lead(Context& cx, net::HttpExchange& exchange, gateway::Route route,
                std::string root_path, std::vector<std::string> hidden, model::TokenId token) {
  const std::string_view query = exchange.request().query();
  std::string path(exchange.request().path().substr(root_path.size()));
  path = path.empty() ? "/" : path;
  gateway::Passage passage;
  passage.target = query.empty() ? path : path + "?" + std::string(query);
  passage.spec = std::move(route.spec);
  passage.served_by = std::move(route.target);
  passage.version_header = version_header;
  passage.root_path = std::move(root_path);
  passage.origin = cx.place.proxies.origin_of(exchange.request());
  passage.token = std::move(token);
  if (!hidden.empty()) {
    passage.withholds = [hidden = std::move(hidden)](std::string_view name) {
      return std::find(hidden.begin(), hidden.end(), name) != hidden.end();
    };
  }
  auto led = co_await cx.owners.passages.lead(exchange, std::move(passage));
  if (!led && !exchange.responded()) {
    switch (led.error().code()) {
      case Code::aborted:
        co_return co_await answer_json_error(exchange, 500, led.error().message());
      case Code::resource_exhausted:
        co_return co_await answer_busy(exchange, led.error().message());
      default: break;
    }
  }
  THAW_CO_TRY(const std::optional<model::Outcome> start, std::move(led));
  if (!start) {
    co_return ok();
  }
  const bool is_late = start->kind == model::OutcomeKind::timeout;
  co_return co_await answer_json_error(
      exchange, is_late ? 504 : 500,
      start->failure ? start->failure->message
                     : "the function's container failed to start; see `thaw logs`");
}

}  // namespace

Task<void> serve_fn(Context& cx, net::HttpExchange& exchange) {
  const std::string path(exchange.request().path());
  const std::size_t end = std::min(path.find('/', fn_prefix.size()), path.size());
  const std::string name =
      path.size() <= fn_prefix.size() ? "" : path.substr(fn_prefix.size(), end - fn_prefix.size());
  const auto who = identify(cx, exchange.request());
  const bool is_local = exchange.request().peer.transport == net::Peer::Transport::unix_socket;
  if (!who && is_local) {
    co_return co_await exchange.answer_error(who.error());  // a container is no stranger
  }
  const catalog::Catalog& catalog = cx.owners.catalog;
  const catalog::Scope scope =
      who ? gateway::scope_of(catalog, *who) : catalog::Scope(catalog, catalog.default_workspace());
  const std::string given = codec::percent_decode(name);
  const std::size_t at = std::min(given.find('@'), given.size());
  if (who) {
    constexpr gateway::Operation calling = {"a call of a function", model::TokenScope::invoke};
    THAW_CO_TRY_VOID(gateway::check_may(*who, calling));
    THAW_CO_TRY_VOID(gateway::check_names(*who, given.substr(0, at), given.substr(0, at)));
  }
  THAW_CO_TRY(const Published published, find_published(cx, scope, given.substr(0, at)));
  THAW_CO_TRY(const std::string asked,
              asked_of(exchange.request(), given.substr(std::min(at + 1, given.size()))));
  if (!who && (asks_for_a_version(asked) || is_for_tokens(cx, published.spec))) {
    co_return co_await exchange.answer_error(who.error());
  }
  THAW_CO_TRY(gateway::Route route, find_route(cx, scope, published, asked));
  if (!who && route.spec != published.spec && is_for_tokens(cx, route.spec)) {
    co_return co_await exchange.answer_error(who.error());
  }
  // What is meant for the server inside is not ours to take.
  std::vector<std::string> hidden;
  if (who && !is_local) {
    hidden = cx.owners.access.credential_headers_of(exchange.request().headers);
  }
  co_return co_await lead(cx, exchange, std::move(route), path.substr(0, end), std::move(hidden),
                          who ? who->token : model::TokenId());
}

Task<void> serve_host(Context& cx, net::HttpExchange& exchange, gateway::WebTarget target) {
  const auto live = target.function->live();
  const catalog::Scope scope(cx.owners.catalog, live->workspace);
  THAW_CO_TRY(const std::string asked, asked_of(exchange.request(), std::move(target.alias)));
  auto route = cx.owners.versions.route(scope, *target.function, asked);
  std::vector<std::string> hidden;
  model::TokenId token;
  // Who may not call it is not told either what there is of it.
  if (asks_for_a_version(asked) || is_for_tokens(cx, live, route ? route->spec : live)) {
    const auto who = identify(cx, exchange.request());
    if (!who) {
      co_return co_await exchange.answer_error(who.error());
    }
    if (const auto may = gateway::check_may_call(cx.owners.catalog, *who, *live); !may) {
      co_return co_await exchange.answer_error(may.error());
    }
    hidden = cx.owners.access.credential_headers_of(exchange.request().headers);
    token = who->token;
  }
  THAW_CO_TRY(gateway::Route found, std::move(route));
  co_return co_await lead(cx, exchange, std::move(found), std::move(target.root_path),
                          std::move(hidden), std::move(token));
}

}  // namespace thaw::dialect::native
