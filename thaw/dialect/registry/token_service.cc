// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/token_service.h"

#include "thaw/codec/encoding.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/registry/asker.h"
#include "thaw/dialect/registry/bearer_token.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

namespace {

constexpr std::size_t most_form_bytes = 64u << 10;
constexpr std::chrono::seconds good_for{300};

struct Wish {
  Asker asker;
  std::vector<TokenScope> scopes;
};

async::Task<Wish> read_form(const Context& cx, net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string form, co_await exchange.read_all(most_form_bytes));
  if (codec::query_value(form, "grant_type") != "password") {
    co_return Error::unauthenticated(
        "tokens are given for a password, grant_type=password, and for nothing else");
  }
  THAW_CO_TRY(Asker asker, find_asker(cx, codec::query_value(form, "username"),
                                      codec::query_value(form, "password")));
  co_return Wish{std::move(asker), scopes_of_query(form)};
}

async::Task<Wish> read_wish(const Context& cx, net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  if (request.method == "POST") {
    co_return co_await read_form(cx, exchange);
  }
  THAW_CO_TRY(Asker asker, find_asker(cx, request));
  if (asker.scopes) {
    co_return Error::unauthenticated("a token is given for a password, not for a token");
  }
  co_return Wish{std::move(asker), scopes_of_query(request.query())};
}

}  // namespace

async::Task<void> serve_token(const Context& cx, net::HttpExchange& exchange) {
  const std::string& method = exchange.request().method;
  if (method != "GET" && method != "POST") {
    co_return co_await refuse(exchange,
                              {405, "UNSUPPORTED", "tokens are asked for by GET or POST"});
  }
  Result<Wish> wish = co_await read_wish(cx, exchange);
  if (!wish && wish.error().code() == Code::cancelled) {
    co_return wish.error();
  }
  if (!wish) {
    net::Headers headers;
    if (wish.error().code() == Code::unauthenticated) {
      headers.add("www-authenticate", "Basic realm=\"thaw\"");
    }
    co_return co_await refuse(exchange, refusal_of(cx, wish.error(), "UNSUPPORTED"),
                              std::move(headers));
  }
  if (wish->asker.who.kind != gateway::Identity::Kind::token) {
    co_return co_await refuse(exchange,
                              {400, "UNSUPPORTED", "the administrator's socket needs no token"});
  }
  BearerToken token;
  token.token = wish->asker.who.token;
  for (TokenScope& scope : wish->scopes) {
    scope.actions = scope.actions & wish->asker.actions;
    token.scopes.push_back(std::move(scope));
  }
  const auto now = std::chrono::floor<std::chrono::seconds>(wall_now().time_since_epoch());
  token.good_until = (now + good_for).count();
  const std::string text = write_token(token, cx.owners.secrets);
  const codec::Json answer = {
      {"token", text}, {"access_token", text}, {"expires_in", good_for.count()}};
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(answer) + "\n");
}

}  // namespace thaw::dialect::registry
