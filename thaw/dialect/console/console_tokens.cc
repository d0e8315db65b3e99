// SPDX-License-Identifier: Apache-2.0
//
// /admin/tokens: made, listed, given new secrets and ended by who runs the server.
#include <algorithm>

#include "thaw/codec/api_key.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/fields.h"
#include "thaw/dialect/console/console.h"

namespace thaw::dialect::console {

using async::Task;
using codec::Json;

namespace {

constexpr std::string_view path_of_tokens = "/admin/tokens";
constexpr std::string_view rotation = "/rotation";
constexpr std::size_t largest_request = 64u << 10;

struct TokenRequest {
  std::string name;
  std::string workspace;
  std::string scopes;
  std::string functions;
  std::string prefix;
  double seconds = 0;  // it is good for; or the old secret is, of a rotation
};

Task<TokenRequest> read_request(net::HttpExchange& exchange) {
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(largest_request));
  THAW_CO_TRY(const Json json, codec::parse_json(body.empty() ? "{}" : body));
  TokenRequest request;
  codec::Fields fields(json);
  fields.read("name", request.name);
  fields.read("workspace", request.workspace);
  fields.read("scopes", request.scopes);
  fields.read("functions", request.functions);
  fields.read("prefix", request.prefix);
  fields.read("seconds", request.seconds);
  if (const auto read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  constexpr double longest = 100 * 366.0 * 24 * 3600;
  if (request.seconds < 0 || request.seconds > longest) {
    co_return Error::invalid_argument("seconds: 0 to a hundred years");
  }
  if (!codec::is_key_prefix(request.prefix)) {
    co_return Error::invalid_argument(
        "prefix: at most " + std::to_string(codec::most_key_prefix) +
        " letters, digits, '-' and '_', with one of these two at the end, such as r8_ or sk-");
  }
  co_return request;
}

Json moment(const std::optional<WallTime>& time) {
  return time ? Json(to_seconds(*time)) : Json(nullptr);
}

}  // namespace

Json Console::token_json(const model::Token& token) const {
  const auto workspace = parts_.catalog.workspaces.find(token.workspace.str());
  const bool has_old = token.old && wall_now() < token.old->good_until;
  return {{"token", token.id},
          {"name", token.name},
          {"workspace", workspace ? workspace->name : token.workspace.str()},
          {"scopes", model::scopes_text(token.grants.scopes, ",")},
          {"functions", token.grants.functions},
          {"created_at", to_seconds(token.created_at)},
          {"expires_at", moment(token.expires_at)},
          {"expired", token.expires_at && *token.expires_at <= wall_now()},
          {"last_used_at", moment(parts_.access.last_use_of(token))},
          {"old_secret_until", has_old ? moment(token.old->good_until) : Json(nullptr)}};
}

// What is told of a new secret, which nobody can be told again.
Json Console::shown_once(const gateway::NewToken& made, const std::string& prefix) const {
  const auto token = parts_.catalog.tokens.find(made.id.str());
  Json out = token ? token_json(*token) : Json::object();
  out["token"] = made.id;
  out["secret"] = made.secret;
  out["key"] = codec::api_key_text(prefix, {made.id.str(), made.secret});
  out["secret_access_key"] = token ? parts_.access.secret_access_key(*token) : std::string();
  return out;
}

Task<std::string> Console::tokens(net::HttpExchange& exchange) {
  const std::string path(exchange.request().path());
  const std::string method = exchange.request().method;
  if (path == path_of_tokens && method == "POST") {
    co_return co_await create_token(exchange);
  }
  if (path == path_of_tokens && method == "GET") {
    std::vector<catalog::Found<model::Token>> all;
    for (const auto& [id, token] : parts_.catalog.tokens.all()) {
      all.push_back(token);
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
      return std::tie(a->created_at, a->id.str()) < std::tie(b->created_at, b->id.str());
    });
    Json list = Json::array();
    for (const auto& token : all) {
      list.push_back(token_json(*token));
    }
    co_return codec::dump_json(list);
  }
  std::string name = path.substr(std::min(path_of_tokens.size() + 1, path.size()));
  if (method == "POST" && name.ends_with(rotation)) {
    name.resize(name.size() - rotation.size());
    co_return co_await rotate_token(exchange, model::TokenId(codec::percent_decode(name)));
  }
  if (method == "DELETE") {
    model::TokenId id(codec::percent_decode(name));
    THAW_CO_TRY_VOID(co_await parts_.access.revoke_token(id));
    co_return codec::dump_json({{"revoked", id}});
  }
  co_return Error::not_found("the console has no " + method + " " + path);
}

Task<std::string> Console::create_token(net::HttpExchange& exchange) {
  THAW_CO_TRY(TokenRequest request, co_await read_request(exchange));
  gateway::TokenWish wish;
  THAW_CO_TRY(wish.workspace, workspace_asked_for(request.workspace));
  if (!request.scopes.empty()) {
    THAW_CO_TRY(wish.grants.scopes, model::parse_scopes(request.scopes));
  }
  wish.name = std::move(request.name);
  wish.grants.functions = std::move(request.functions);
  wish.good_for = from_seconds(request.seconds);
  THAW_CO_TRY(const gateway::NewToken made, co_await parts_.access.create_token(std::move(wish)));
  co_return codec::dump_json(shown_once(made, request.prefix));
}

Task<std::string> Console::rotate_token(net::HttpExchange& exchange, model::TokenId id) {
  THAW_CO_TRY(const TokenRequest request, co_await read_request(exchange));
  THAW_CO_TRY(const gateway::NewToken made,
              co_await parts_.access.rotate_token(std::move(id), from_seconds(request.seconds)));
  co_return codec::dump_json(shown_once(made, request.prefix));
}

}  // namespace thaw::dialect::console
