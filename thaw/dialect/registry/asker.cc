// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/asker.h"

#include <algorithm>

#include "thaw/codec/encoding.h"
#include "thaw/dialect/registry/bearer_token.h"
#include "thaw/dialect/registry/refusal.h"

namespace thaw::dialect::registry {

namespace {

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() > word.size() && text[word.size()] == ' ' &&
         std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

Result<gateway::Identity> from_pair(const Context& cx, std::string_view user,
                                    std::string_view password) {
  // Some clients have a user's name of their own, and send all of the token as its password.
  if (const auto colon = password.find(':'); colon != std::string_view::npos) {
    user = password.substr(0, colon);
    password = password.substr(colon + 1);
  }
  return cx.owners.access.from_token(std::string(user), std::string(password));
}

Result<gateway::Identity> from_header(const Context& cx, std::string_view given) {
  if (starts_with_word(given, "basic")) {
    const auto pair = codec::base64_decode(given.substr(6));
    const auto colon = pair ? pair->find(':') : std::string::npos;
    if (colon == std::string::npos) {
      return Error::unauthenticated("what was sent as a password cannot be read");
    }
    return from_pair(cx, pair->substr(0, colon), pair->substr(colon + 1));
  }
  if (starts_with_word(given, "bearer")) {
    return from_pair(cx, "", given.substr(7));
  }
  return Error::unauthenticated(
      "this registry needs a login: the user is a token's id and the password its secret, which "
      "`thaw token create` prints");
}

Result<Asker> from_bearer_token(const Context& cx, std::string_view text) {
  const auto token = read_token(text, cx.owners.secrets);
  const auto now = wall_now().time_since_epoch();
  if (!token || now >= std::chrono::seconds(token->good_until)) {
    return Error::unauthenticated("the token is over, or not of this server; ask for another one");
  }
  // all workspaces: the token was signed for whoever has it
  const auto bought_with = cx.owners.catalog.tokens.find(token->token.str());
  if (!bought_with) {
    return Error::unauthenticated("the login that this token was given for was revoked");
  }
  Asker asker{{}, all_actions, token->scopes};
  asker.who.workspace = bought_with->workspace;
  asker.who.token = bought_with->id;
  return asker;
}

}  // namespace

bool Asker::may(const std::string& repository, const Actions& wanted) const {
  if (!actions.covers(wanted)) {
    return false;
  }
  return !scopes || std::any_of(scopes->begin(), scopes->end(), [&](const TokenScope& scope) {
    return scope.repository == repository && scope.actions.covers(wanted);
  });
}

Result<Asker> find_asker(const Context& cx, const net::HttpRequest& request) {
  if (request.peer.transport != net::Peer::Transport::tcp) {
    THAW_TRY(gateway::Identity who, cx.owners.access.from_socket(request.peer));
    if (who.kind == gateway::Identity::Kind::container) {
      return Error::permission_denied("containers have no access to the registry");
    }
    return Asker{std::move(who), all_actions, std::nullopt};
  }
  const std::string_view given = request.headers.find("authorization").value_or("");
  if (starts_with_word(given, "bearer") && is_bearer_token(given.substr(7))) {
    return from_bearer_token(cx, given.substr(7));
  }
  THAW_TRY(gateway::Identity who, from_header(cx, given));
  return Asker{std::move(who), all_actions, std::nullopt};
}

Result<Asker> find_asker(const Context& cx, const std::string& user, const std::string& password) {
  THAW_TRY(gateway::Identity who, from_pair(cx, user, password));
  return Asker{std::move(who), all_actions, std::nullopt};
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
