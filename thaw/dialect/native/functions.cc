// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/functions.h"

#include <algorithm>

#include "thaw/dialect/native/models.h"
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
  const std::string& scheme = cx.place.scheme;
  if (scheme == "https" && cx.place.web_domain.empty()) {
    return {};  // no client takes a certificate for *.localhost, or for each address
  }
  const std::string loopback = cx.owners.web.loopback_host(label, spec.workspace);
  if (!loopback.empty()) {
    return scheme + "://" + loopback + port + "/";
  }
  const std::string domain = !cx.place.web_domain.empty()
                                 ? cx.place.web_domain
                                 : std::string(cx.place.knows_localhost ? "localhost" : "");
  return domain.empty() ? "" : scheme + "://" + label + "." + domain + port + "/";
}

// The live one, then those that are kept, the newest first.
Json versions_of(Context& cx, const catalog::Scope& scope, const catalog::Function& function) {
  const auto told = [](const std::string& version, std::uint64_t number, WallTime at,
                       bool is_live) {
    return Json{{"version", version},
                {"number", number},
                {"published_at", to_seconds(at)},
                {"live", is_live}};
  };
  Json all = Json::array();
  all.push_back(told(function.live_version, function.number, function.published_at, true));
  for (const auto& kept : scope.versions_of(function.id)) {
    all.push_back(told(kept->spec->version, kept->number, kept->published_at, false));
  }
  for (Json& one : all) {
    one["containers"] =
        cx.owners.fleet.running_count(function.id, one["version"].get<std::string>());
  }
  return all;
}

}  // namespace

Json json_of(Context& cx, const Published& published) {
  const model::FunctionSpec& spec = *published.spec;
  const auto definition = read_definition(spec.definition);
  Json aliases = Json::object();
  // all workspaces: the function's own
  for (const auto& alias : cx.owners.catalog.aliases_of(spec.id)) {
    aliases[alias->name] = json_of(*alias, spec.name)["versions"];
  }
  Json view = {
      {"name", spec.name},
      {"function", spec.id},
      {"version", spec.version},
      {"url", cx.place.base() + "/fn/" + spec.name + "/"},
      {"host_url", host_url(cx, spec)},
      {"callers", is_for_tokens(cx, published.spec) ? "tokens" : "anyone"},
      {"preset", definition ? definition->preset : ""},
      {"wire", spec.push && spec.push->wire == model::PushContract::Wire::h2c ? "h2c" : "http1"},
      {"port", spec.push ? spec.push->port : 0},
      {"min", spec.scaling.min_containers},
      {"max", spec.scaling.max_containers},
      {"concurrency", spec.scaling.max_concurrent_inputs},
      {"idle_s", to_seconds(spec.scaling.scaledown_window)},
      {"snapshot", spec.snapshot_at == model::SnapshotAt::ready ? "ready" : "never"},
      {"containers", cx.owners.fleet.running_count(spec.id)},
      {"aliases", aliases},
      {"published_at", to_seconds(published.app->deployed_at)}};
  if (const auto card = cx.models.card(published.spec)) {
    view["model"] = json_of(*card);
  }
  return view;
}

Json json_of(const model::Alias& alias, const std::string& function) {
  Json versions = Json::object();
  for (const model::WeightedVersion& one : alias.versions) {
    versions[one.version] = one.weight;
  }
  return {{"function", function}, {"alias", alias.name}, {"versions", versions}};
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
    if (const auto published = find_published(cx, scope, name)) {
      list.push_back(json_of(cx, *published));
    }
  }
  co_return co_await exchange.answer(200, "application/json",
                                     codec::dump_json({{"functions", list}}) + "\n");
}

Task<void> serve_function(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                          std::string name) {
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(const Published published, find_published(cx, scope, name));
  if (exchange.request().method == "DELETE") {
    THAW_CO_TRY_VOID(co_await cx.owners.deployments.stop_app(published.app->id, "it was removed"));
    co_return co_await exchange.answer(200, "application/json",
                                       codec::dump_json({{"removed", name}}) + "\n");
  }
  Json view = json_of(cx, published);
  view["keep_versions"] = published.function->keep;
  view["versions"] = versions_of(cx, scope, *published.function);
  co_return co_await exchange.answer(200, "application/json", codec::dump_json(view) + "\n");
}

}  // namespace thaw::dialect::native
