// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/asker.h"

#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/registry/bearer_token.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

namespace {

using Of = gateway::Operation::Of;

constexpr gateway::Operation pulling = {"to pull images", model::TokenScope::read, Of::workspace};
constexpr gateway::Operation pushing = {"to push images", model::TokenScope::deploy, Of::workspace};

// What "Authorization: Bearer …" has behind the scheme; "": it is another one.
std::string_view bearer_in(std::string_view value) {
  constexpr std::string_view scheme = "bearer ";
  const bool is_bearer =
      value.size() > scheme.size() &&
      std::equal(scheme.begin(), scheme.end(), value.begin(), [](char a, char b) {
        return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
      });
  return is_bearer ? value.substr(scheme.size()) : std::string_view();
}

Result<Asker> asker_of(gateway::Identity who) {
  if (who.kind == gateway::Identity::Kind::container) {
    return Error::permission_denied("containers have no access to the registry");
  }
  THAW_TRY_VOID(gateway::check_may(who, pulling));
  const bool may_push = gateway::check_may(who, pushing).has_value();
  return Asker{std::move(who), {.pull = true, .push = may_push, .erase = may_push}, std::nullopt};
}

Result<Asker> from_bearer_token(const Context& cx, std::string_view text) {
  const auto token = read_token(text, cx.owners.secrets);
  const auto now = wall_now().time_since_epoch();
  if (!token || now >= std::chrono::seconds(token->good_until)) {
    return Error::unauthenticated("the token is over, or not of this server; ask for another one");
  }
  THAW_TRY(gateway::Identity who, cx.owners.access.holder_of(token->token));
  THAW_TRY(Asker asker, asker_of(std::move(who)));
  asker.scopes = token->scopes;
  return asker;
}

}  // namespace

bool Asker::may(const std::string& repository, const Actions& wanted) const {
  return !scopes || std::any_of(scopes->begin(), scopes->end(), [&](const TokenScope& scope) {
    return scope.repository == repository && scope.actions.covers(wanted);
  });
}

Result<Asker> find_asker(const Context& cx, const net::HttpRequest& request) {
  const std::string_view bearer =
      bearer_in(request.headers.find("authorization").value_or(std::string_view()));
  if (request.peer.transport == net::Peer::Transport::tcp && is_bearer_token(bearer)) {
    return from_bearer_token(cx, bearer);
  }
  THAW_TRY(gateway::Identity who, cx.owners.access.from_request(request));
  return asker_of(std::move(who));
}

Result<Asker> find_asker(const Context& cx, const std::string& user, const std::string& password) {
  net::Headers headers;
  headers.add("authorization", "Basic " + codec::base64_encode(user + ":" + password));
  THAW_TRY(gateway::Identity who, cx.owners.access.from_headers(headers));
  return asker_of(std::move(who));
}

async::Task<void> challenge(const Context& cx, net::HttpExchange& exchange, std::string wanted,
                            Error error) {
  const gateway::WebOrigin origin = cx.place.proxies.origin_of(exchange.request());
  std::string bearer = "Bearer realm=\"" + origin.scheme + "://" + origin.authority +
                       "/v2/token\",service=\"" + origin.authority + "\"";
  if (!wanted.empty()) {
    bearer += ",scope=\"" + wanted + "\"";
  }
  net::Headers headers;
  // In this order: a client takes the first that it knows.
  headers.add("www-authenticate", std::move(bearer));
  headers.add("www-authenticate", "Basic realm=\"thaw\"");
  Refusal refusal{401, "UNAUTHORIZED", cx.owners.registry.told(error)};
  co_return co_await refuse(exchange, std::move(refusal), std::move(headers));
}

}  // namespace thaw::dialect::registry
