// SPDX-License-Identifier: Apache-2.0
#include "tests/dialects/house.h"

#include <utility>

namespace thaw::dialects_test {

using async::Task;

Result<gateway::Identity> identify(const gateway::Owners& owners, const std::string& key) {
  const std::size_t colon = key.find(':');
  if (colon == std::string::npos) {
    return Error::unauthenticated("a key is TOKEN_ID:SECRET; `thaw token create` makes one");
  }
  return owners.access.from_token(key.substr(0, colon), key.substr(colon + 1));
}

Task<model::FunctionId> publish(const gateway::Owners& owners, gateway::Identity who,
                                model::FunctionSpec spec) {
  const catalog::Scope scope = gateway::scope_of(owners.catalog, who);
  image::Recipe recipe;
  recipe.dockerfile = {"FROM python:3.11-slim"};
  recipe.workspace = who.workspace.str();
  THAW_CO_TRY(const gateway::Releases::Wanted wanted,
              co_await owners.releases.image_for(who.workspace, std::move(recipe)));
  THAW_CO_TRY_VOID(co_await gateway::Releases::until_built(wanted.build));
  THAW_CO_TRY(gateway::Draft draft, owners.releases.begin(scope, spec.dialect, spec.name));
  spec.id = draft.spec.id;
  spec.version = draft.spec.version;
  spec.app = draft.spec.app;
  spec.workspace = draft.spec.workspace;
  spec.environment = draft.spec.environment;
  spec.image = wanted.image.id;
  spec.reach = model::Reach::inputs;
  draft.spec = std::move(spec);
  THAW_CO_TRY(const Found published, co_await owners.releases.publish(scope, std::move(draft)));
  co_return published.spec->id;
}

Result<Found> find(const gateway::Owners& owners, const gateway::Identity& who,
                   const std::string& dialect, const std::string& name) {
  const catalog::Scope scope = gateway::scope_of(owners.catalog, who);
  if (auto found = owners.invoke.find(scope, dialect, name)) {
    return std::move(*found);
  }
  return Error::not_found("there is no function '" + name.substr(0, 63) + "'");
}

Task<model::CallId> begin(const gateway::Owners& owners, Found function, model::Payload payload,
                          CallOptions options) {
  model::NewCall call = gateway::Invoke::new_call({function.spec->id, function.spec});
  call.durability = options.durability;
  call.limits = options.limits;
  std::vector<model::NewInput> inputs;
  inputs.push_back({0, std::move(payload)});
  THAW_CO_TRY(queue::Created created,
              co_await owners.invoke.create(std::move(call), std::move(inputs)));
  co_return std::move(created.id);
}

namespace {

Task<void> check_owner(const gateway::Owners& owners, gateway::Identity who, model::CallId call) {
  THAW_CO_TRY(const auto info, co_await owners.invoke.find_call(std::move(who), call));
  if (!info) {
    co_return Error::not_found("there is no call '" + call.str().substr(0, 63) + "'");
  }
  co_return ok();
}

}  // namespace

Task<std::vector<model::LogEntry>> ends_of(const gateway::Owners& owners, gateway::Identity who,
                                           model::CallId call, Instant until) {
  THAW_CO_TRY_VOID(co_await check_owner(owners, who, call));
  THAW_CO_TRY(auto ends, co_await owners.invoke.ends(call, 1, until));
  for (model::LogEntry& end : ends) {
    THAW_CO_TRY(end.payload, co_await owners.queue.payloads().whole(who.workspace, end.payload));
  }
  co_return ends;
}

Task<void> cancel(const gateway::Owners& owners, gateway::Identity who, model::CallId call) {
  THAW_CO_TRY_VOID(co_await check_owner(owners, std::move(who), call));
  co_return co_await owners.invoke.cancel(call, control::Fleet::StopHow::graceful);
}

Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json json) {
  co_return co_await exchange.answer(status, "application/json", codec::dump_json(json) + "\n");
}

}  // namespace thaw::dialects_test
