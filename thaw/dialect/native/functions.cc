// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/functions.h"

#include <algorithm>

#include "thaw/dialect/native/push_request.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;

namespace {

// On a host of its own, where it has one.
std::string host_url(Context& cx, const model::FunctionSpec& spec) {
  if (spec.web.empty()) {
    return {};
  }
  const std::string& label = spec.web.front().label;
  const std::string& authority = cx.place.authority;
  const std::size_t colon = authority.rfind(':');
  const std::string port = colon == std::string::npos ? "" : authority.substr(colon);
  const std::string loopback = cx.owners.web.loopback_host(label, spec.workspace);
  if (!loopback.empty()) {
    return "http://" + loopback + port + "/";
  }
  const std::string domain = !cx.place.web_domain.empty()
                                 ? cx.place.web_domain
                                 : std::string(cx.place.knows_localhost ? "localhost" : "");
  return domain.empty() ? "" : "http://" + label + "." + domain + port + "/";
}

}  // namespace

Json json_of(Context& cx, const Published& published) {
  const model::FunctionSpec& spec = *published.spec;
  const auto definition = read_definition(spec.definition);
  return {{"name", spec.name},
          {"function", spec.id},
          {"version", spec.version},
          {"url", "http://" + cx.place.authority + "/fn/" + spec.name + "/"},
          {"host_url", host_url(cx, spec)},
          {"callers", is_for_tokens(cx, spec) ? "tokens" : "anyone"},
          {"preset", definition ? definition->preset : ""},
          {"port", spec.push ? spec.push->port : 0},
          {"min", spec.scaling.min_containers},
          {"max", spec.scaling.max_containers},
          {"concurrency", spec.scaling.max_concurrent_inputs},
          {"idle_s", to_seconds(spec.scaling.scaledown_window)},
          {"containers", cx.owners.fleet.running_count(spec.id)},
          {"published_at", to_seconds(published.app->deployed_at)}};
}

Task<void> serve_list(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const auto environment, scope.environment_named(""));
  std::vector<std::string> names;
  for (const auto& app : scope.apps_in(environment->id)) {
    if (app->state == model::AppState::deployed) {
      names.push_back(app->name);
    }
  }
  std::sort(names.begin(), names.end());
  Json list = Json::array();
  for (const std::string& name : names) {
    if (const auto published = find_published(scope, name)) {
      list.push_back(json_of(cx, *published));
    }
  }
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"functions", list}}) + "\n");
}

Task<void> serve_function(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                          std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const Published published, find_published(scope, name));
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(co_await cx.owners.deployments.stop_app(published.app->id, "it was removed"));
    co_return co_await exchange.answer(200, "application/json",
                                       codec::dump_json({{"removed", name}}) + "\n");
  }
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json(json_of(cx, published)) + "\n");
}

}  // namespace thaw::dialect::native
