// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/model_aliases.h"

#include <utility>

#include "thaw/codec/fields.h"
#include "thaw/codec/json.h"
#include "thaw/gateway/model_aliases.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

constexpr std::size_t most_body_bytes = 64u << 10;

Json json_of(const gateway::ModelAlias& alias) {
  return {{"alias", alias.name},
          {"target", alias.target},
          {"task", alias.task},
          {"created_at", to_seconds(alias.created_at)}};
}

Task<void> answer(net::HttpExchange& exchange, const Json& json) {
  return exchange.answer(200, "application/json", codec::dump_json(json) + "\n");
}

// A target that is not there is told now, when somebody can still mend what he wrote.
Result<void> check_target(const Context& cx, const gateway::Identity& who,
                          const std::string& target) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  const std::size_t slash = target.find('/');
  if (slash == std::string::npos) {
    return find_published(cx, scope, target) ? Result<void>(ok())
                                             : find_published(cx, scope, target).error();
  }
  if (cx.models.find(scope, target.substr(0, slash), target.substr(slash + 1))) {
    return ok();
  }
  return Error::not_found("no model '" + target +
                          "' is here; `thaw model list` shows what is, and `thaw push FOLDER "
                          "OWNER/MODEL` adds one");
}

}  // namespace

Task<void> serve_model_aliases(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  Json list = Json::array();
  for (const auto& alias : gateway::ModelAliases(cx.owners.documents).list(who.workspace)) {
    list.push_back(json_of(alias));
  }
  co_return co_await answer(exchange, {{"aliases", std::move(list)}});
}

Task<void> serve_model_alias(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                             std::string name) {
  gateway::ModelAliases aliases(cx.owners.documents);
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(co_await aliases.remove(who.workspace, name));
    co_return co_await answer(exchange, {{"removed", name}});
  }
  THAW_CO_TRY(const std::string body, co_await exchange.read_all(most_body_bytes));
  THAW_CO_TRY(const Json json, codec::parse_json(body));
  gateway::ModelAlias alias;
  alias.name = std::move(name);
  codec::Fields fields(json);
  fields.read("target", alias.target);
  fields.read("task", alias.task);
  if (const Result<void> read = fields.outcome(); !read) {
    co_return Error::invalid_argument(read.error().message());
  }
  THAW_CO_TRY_VOID(gateway::check(alias));
  THAW_CO_TRY_VOID(check_target(cx, who, alias.target));
  THAW_CO_TRY(const gateway::ModelAlias set, co_await aliases.set(who.workspace, std::move(alias)));
  co_return co_await answer(exchange, json_of(set));
}

}  // namespace thaw::dialect::native
