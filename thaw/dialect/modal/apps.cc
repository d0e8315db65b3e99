// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/apps.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

using async::Task;
using model::AppState;

namespace {

constexpr Duration heartbeat_limit = 60s;  // the client beats every 15 s
constexpr Duration keep_stopped_results = 30s;
constexpr Duration detached_quiet = 10s;  // without work, after the client has gone
constexpr std::size_t history_limit = 100;

pb::AppState wire_state(AppState state) {
  switch (state) {
    case AppState::initializing: return pb::APP_STATE_INITIALIZING;
    case AppState::ephemeral: return pb::APP_STATE_EPHEMERAL;
    case AppState::detached: return pb::APP_STATE_DETACHED;
    case AppState::deployed: return pb::APP_STATE_DEPLOYED;
    case AppState::stopped: return pb::APP_STATE_STOPPED;
  }
  return pb::APP_STATE_UNSPECIFIED;
}

AppState state_from(pb::AppState state) {
  switch (state) {
    case pb::APP_STATE_EPHEMERAL: return AppState::ephemeral;
    case pb::APP_STATE_DETACHED: return AppState::detached;
    case pb::APP_STATE_DEPLOYED: return AppState::deployed;
    default: return AppState::initializing;
  }
}

pb::AppLifecycle lifecycle_of(const model::App& app) {
  pb::AppLifecycle out;
  out.set_app_state(wire_state(app.state));
  out.set_created_at(unix_seconds(app.created_at));
  out.set_deployed_at(unix_seconds(app.deployed_at));
  out.set_stopped_at(unix_seconds(app.stopped_at));
  out.set_version(app.version);
  return out;
}

// What a client keeps of an app that it has looked up: its functions by name, a class by "Name.*".
pb::AppHandleMetadata app_metadata(const Context& cx, const model::App& app) {
  pb::AppHandleMetadata out;
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  out.set_app_id(app.id.str());
  out.set_description(app.name.empty() ? app.description : app.name);
  if (const auto environment = scope.environment(app.environment)) {
    out.set_environment_name(environment->name);
  }
  *out.mutable_lifecycle() = lifecycle_of(app);
  for (const auto& [tag, id] : app.functions) {
    (*out.mutable_functions())[tag] = id.str();
  }
  return out;
}

Task<model::App> new_app(Context& cx, const model::Environment& environment,
                         const std::string& description, AppState state, std::string name = {}) {
  model::App app;
  app.name = std::move(name);
  app.id = model::AppId(codec::random_id("ap"));
  app.workspace = environment.workspace;
  app.environment = environment.id;
  app.description = description;
  app.state = state;
  app.created_at = wall_now();
  // Before the app is to be seen: to the app loop, one without a heartbeat is from before a
  // restart.
  cx.last_heartbeat[app.id] = monotonic_now();
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.apps.put(app));
  co_return app;
}

Task<pb::AppCreateResponse> create(Context& cx, net::GrpcCall& call, pb::AppCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  THAW_CO_TRY(const model::App app, co_await new_app(cx, *environment, request.description(),
                                                     state_from(request.app_state())));
  pb::AppCreateResponse reply;
  reply.set_app_id(app.id.str());
  const std::string page = "http://" + authority_for(cx, call) + "/apps/" + app.id.str();
  reply.set_app_page_url(page);
  reply.set_app_logs_url(page);
  co_return reply;
}

Task<pb::AppGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                               pb::AppGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  pb::AppGetOrCreateResponse reply;
  if (const auto app = scope_of(cx, who).deployed_app(environment->id, request.app_name())) {
    reply.set_app_id(app->id.str());
    *reply.mutable_handle_metadata() = app_metadata(cx, *app);
    co_return reply;
  }
  if (request.object_creation_type() != pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING) {
    co_return Error::not_found("app '" + request.app_name() + "' does not exist");
  }
  THAW_CO_TRY(const model::App app, co_await new_app(cx, *environment, request.app_name(),
                                                     AppState::deployed, request.app_name()));
  reply.set_app_id(app.id.str());
  *reply.mutable_handle_metadata() = app_metadata(cx, app);
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::AppHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  cx.last_heartbeat[app->id] = monotonic_now();
  cx.left_alone.erase(app->id);
  co_return Empty();
}

Task<pb::AppGetByDeploymentNameResponse> get_by_name(Context& cx, net::GrpcCall& call,
                                                     pb::AppGetByDeploymentNameRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  pb::AppGetByDeploymentNameResponse reply;
  reply.set_environment_name(environment->name);
  if (const auto app = scope_of(cx, who).deployed_app(environment->id, request.name())) {
    reply.set_app_id(app->id.str());
    *reply.mutable_lifecycle() = lifecycle_of(*app);
  }
  co_return reply;
}

Task<pb::AppGetLayoutResponse> get_layout(Context& cx, net::GrpcCall& call,
                                          pb::AppGetLayoutRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppGetLayoutResponse reply;
  *reply.mutable_app_layout() = layout_of(cx, *app, addresses_for(cx, call));
  co_return reply;
}

bool serves_label(const model::FunctionSpec& spec, const std::string& label) {
  return std::any_of(spec.web.begin(), spec.web.end(),
                     [&](const model::WebEndpoint& web) { return web.label == label; });
}

// The function at the version that this publication names, newest draft otherwise.
Result<catalog::Function> published(const catalog::Scope& scope, const model::App& app,
                                    const std::string& id, std::string definition) {
  const auto function = scope.function(id);
  if (!function || function->app != app.id) {
    return Error::not_found("function '" + id + "' does not exist in app '" + app.id.str() + "'");
  }
  catalog::Function record = *function;
  if (definition.empty()) {
    for (const auto& [version, spec] : record.versions) {
      definition = version == record.live_version ? definition : version;
    }
    definition = definition.empty() ? record.live_version : definition;
  }
  if (!record.versions.contains(definition)) {
    return Error::failed_precondition("function '" + record.tag + "' has no definition '" +
                                      definition + "'");
  }
  if (record.live_version != definition) {
    record.versions.erase(record.live_version);  // who runs it holds it
  }
  record.live_version = definition;
  // Containers that run on another one hold it; nothing starts it any more.
  std::erase_if(record.versions, [&](const auto& entry) { return entry.first != definition; });
  return record;
}

// All of a publication, or an error before anything has changed.
Result<std::vector<catalog::Function>> functions_to_publish(Context& cx,
                                                            const catalog::Scope& scope,
                                                            const model::App& app,
                                                            const pb::AppPublishRequest& request) {
  for (const auto& [tag, id] : request.class_ids()) {
    const auto known = scope.app_class(id);
    if (!known || known->app != app.id) {
      return Error::not_found("class '" + id + "' does not exist in app '" + app.id.str() + "'");
    }
  }
  std::vector<catalog::Function> functions;
  std::map<std::string, std::string> tags_of_labels;
  std::set<std::string> seen;
  for (const auto& [tag, id] : request.function_ids()) {
    if (!seen.insert(id).second) {
      continue;
    }
    const auto definition = request.definition_ids().find(id);
    THAW_TRY(catalog::Function function,
             published(scope, app, id,
                       definition == request.definition_ids().end() ? std::string()
                                                                    : definition->second));
    const auto live = function.live();
    THAW_TRY_VOID(check_web_labels(cx, app, *live));
    for (const model::WebEndpoint& web : live->web) {
      const auto [other, fresh] = tags_of_labels.emplace(web.label, tag);
      if (!fresh) {
        return Error::already_exists("functions '" + other->second + "' and '" + tag +
                                     "' want the same web address '" + web.label +
                                     "'; give one of them a label= of its own");
      }
    }
    functions.push_back(std::move(function));
  }
  return functions;
}

// A function's addresses are those of its live version, no more.
void take_web_labels(Context& cx, const catalog::Function& function) {
  std::erase_if(cx.web_labels, [&](const auto& entry) { return entry.second == function.id; });
  for (const model::WebEndpoint& web : function.live()->web) {
    cx.web_labels[web.label] = function.id;
  }
}

void drop_web_labels(Context& cx, const model::FunctionId& function) {
  std::erase_if(cx.web_labels, [&](const auto& entry) { return entry.second == function; });
}

// Those that this publication no longer names, their bound variants included.
std::vector<model::FunctionId> dropped_by(Context& cx, const model::App& app,
                                          const pb::AppPublishRequest& request) {
  std::set<std::string> kept;
  for (const auto& [tag, id] : request.function_ids()) {
    kept.insert(id);
  }
  std::set<model::FunctionId> dropped;
  for (const auto& [tag, id] : app.functions) {
    if (!kept.contains(id.str())) {
      dropped.insert(id);
    }
  }
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  for (const auto& function : scope.functions_of(app.id)) {
    if (dropped.contains(function->base)) {
      dropped.insert(function->id);
    }
  }
  return {dropped.begin(), dropped.end()};
}

model::App app_as_published(model::App app, const pb::AppPublishRequest& request) {
  app.functions.clear();
  for (const auto& [tag, id] : request.function_ids()) {
    app.functions[tag] = model::FunctionId(id);
  }
  app.classes.clear();
  for (const auto& [tag, id] : request.class_ids()) {
    app.classes[tag] = model::ClassId(id);
  }
  for (const auto& [key, value] : request.tags()) {
    app.tags[key] = value;
  }
  if (request.app_state() != pb::APP_STATE_UNSPECIFIED) {
    app.state = state_from(request.app_state());
  }
  if (app.state == AppState::deployed) {
    app.name = request.name().empty() ? app.name : request.name();
    app.deployed_at = wall_now();
    app.version += 1;
    app.history.push_back(
        {app.version, app.deployed_at, request.deployment_tag(), request.client_version()});
    if (app.history.size() > history_limit) {
      app.history.erase(app.history.begin());
    }
  }
  return app;
}

model::App stopped(model::App app) {
  app.state = AppState::stopped;
  app.stopped_at = wall_now();
  return app;
}

Task<void> end_stopped_app(Context& cx, model::App app, std::string why);

// All of it is one write: a death in the middle leaves the app as it was or as it is to be.
Task<pb::AppPublishResponse> publish(Context& cx, net::GrpcCall& call,
                                     pb::AppPublishRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto current, find_app(cx, who, request.app_id()));
  if (current->state == AppState::stopped) {
    co_return Error::failed_precondition("app '" + request.app_id() + "' was stopped");
  }
  THAW_CO_TRY(const std::vector<catalog::Function> functions,
              functions_to_publish(cx, scope_of(cx, who), *current, request));
  const std::vector<model::FunctionId> dropped = dropped_by(cx, *current, request);
  const model::App app = app_as_published(*current, request);
  // One deployment per name: an earlier app of that name gives way.
  std::optional<model::App> earlier;
  if (app.state == AppState::deployed) {
    const auto known = scope_of(cx, who).deployed_app(app.environment, request.name());
    if (known && known->id != app.id) {
      earlier = stopped(*known);
    }
  }
  catalog::Change change;
  for (const catalog::Function& function : functions) {
    change.put(cx.parts.catalog.functions, function);
    // Before the write, so that nobody else takes them meanwhile.
    take_web_labels(cx, function);
  }
  for (const model::FunctionId& id : dropped) {
    change.erase(cx.parts.catalog.functions, id.str());
  }
  for (const auto& [tag, id] : current->classes) {
    const bool kept = std::any_of(app.classes.begin(), app.classes.end(),
                                  [&id = id](const auto& entry) { return entry.second == id; });
    if (!kept) {
      change.erase(cx.parts.catalog.classes, id.str());
    }
  }
  if (earlier) {
    change.put(cx.parts.catalog.apps, *earlier);
  }
  change.put(cx.parts.catalog.apps, app);
  if (Result<void> stored = co_await cx.parts.catalog.apply(std::move(change)); !stored) {
    for (const catalog::Function& function : functions) {
      drop_web_labels(cx, function.id);
    }
    rebuild_web_labels(cx);
    co_return std::move(stored).error();
  }
  for (const model::FunctionId& id : dropped) {
    drop_web_labels(cx, id);
  }
  pb::AppPublishResponse reply;
  reply.set_url("http://" + authority_for(cx, call) + "/apps/" + app.id.str());
  reply.set_deployed_at(
      unix_seconds(app.state == AppState::deployed ? app.deployed_at : wall_now()));
  // Only now: a container that starts at once learns of all of its app's functions and classes.
  for (const auto& [tag, id] : request.function_ids()) {
    cx.fleet->refresh(model::FunctionId(id));
  }
  // It is published; what cannot be ended now is ended later.
  const auto note = [&app](const Result<void>& ended) {
    if (!ended) {
      log_warning("what a publication replaces has not ended",
                  {{"app", app.id.str()}, {"error", ended.error().to_string()}});
    }
  };
  if (earlier) {
    note(co_await end_stopped_app(cx, *earlier, "replaced by another app of its name"));
  }
  if (!dropped.empty()) {
    note(
        co_await cx.fleet->stop_functions(dropped, "the function was removed by a new deployment"));
  }
  co_return reply;
}

Task<Empty> client_disconnect(Context& cx, net::GrpcCall& call,
                              pb::AppClientDisconnectRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  const bool interrupted = request.reason() == pb::APP_DISCONNECT_REASON_KEYBOARD_INTERRUPT;
  const bool lives_on =
      app->state == AppState::deployed || (app->state == AppState::detached && interrupted);
  if (!lives_on && app->state != AppState::stopped) {
    // The client does not wait for this answer to see its logs end; the stop goes on behind it.
    cx.tasks.start("stop app", stop_app(cx, app->id, "the client disconnected"));
  }
  if (app->state == AppState::detached && lives_on) {
    cx.left_alone.emplace(app->id, monotonic_now());
  }
  co_return Empty();
}

Task<Empty> stop(Context& cx, net::GrpcCall& call, pb::AppStopRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  THAW_CO_TRY_VOID(co_await stop_app(cx, app->id, "a client asked for it"));
  co_return Empty();
}

Task<pb::AppGetLifecycleResponse> get_lifecycle(Context& cx, net::GrpcCall& call,
                                                pb::AppGetLifecycleRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppGetLifecycleResponse reply;
  *reply.mutable_lifecycle() = lifecycle_of(*app);
  co_return reply;
}

Task<pb::AppGetInfoResponse> get_info(Context& cx, net::GrpcCall& call,
                                      pb::AppGetInfoRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppGetInfoResponse reply;
  *reply.mutable_info() = app_metadata(cx, *app);
  co_return reply;
}

Task<pb::AppListResponse> list(Context& cx, net::GrpcCall& call, pb::AppListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  const catalog::Scope scope = scope_of(cx, who);
  std::vector<std::shared_ptr<const model::App>> apps = scope.apps_in(environment->id);
  std::sort(apps.begin(), apps.end(),
            [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  pb::AppListResponse reply;
  for (const auto& app : apps) {
    auto* item = reply.add_apps();
    item->set_app_id(app->id.str());
    item->set_name(app->name);
    item->set_description(app->name.empty() ? app->description : app->name);
    item->set_state(wire_state(app->state));
    item->set_created_at(unix_seconds(app->created_at));
    item->set_stopped_at(unix_seconds(app->stopped_at));
    std::size_t running = 0;
    for (const auto& function : scope.functions_of(app->id)) {
      running += cx.fleet->running_count(function->id);
    }
    item->set_n_running_tasks(static_cast<std::int32_t>(running));
  }
  co_return reply;
}

Task<pb::AppDeploymentHistoryResponse> history(Context& cx, net::GrpcCall& call,
                                               pb::AppDeploymentHistoryRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppDeploymentHistoryResponse reply;
  for (const auto& deployment : app->history) {
    auto* item = reply.add_app_deployment_histories();
    item->set_app_id(app->id.str());
    item->set_version(static_cast<std::uint32_t>(deployment.version));
    item->set_client_version(deployment.client_version);
    item->set_deployed_at(unix_seconds(deployment.at));
    item->set_tag(deployment.tag);
  }
  reply.set_production_app_version(static_cast<std::uint32_t>(app->version));
  co_return reply;
}

}  // namespace

async::Task<void> stop_app(Context& cx, model::AppId id, std::string why) {
  const auto found = cx.parts.catalog.apps.find(id.str());  // all workspaces: found by its caller
  if (!found || found->state == AppState::stopped) {
    co_return ok();
  }
  const model::App app = stopped(*found);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.apps.put(app));
  co_return co_await end_stopped_app(cx, app, std::move(why));
}

namespace {

// What follows once it is on disk that the app is stopped.
Task<void> end_stopped_app(Context& cx, model::App app, std::string why) {
  log_info("app stopped", {{"app", app.id.str()}, {"name", app.name}, {"reason", why}});
  std::vector<model::FunctionId> functions;
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  for (const auto& function : scope.functions_of(app.id)) {
    functions.push_back(function->id);
  }
  const std::size_t freed = std::erase_if(cx.web_labels, [&](const auto& entry) {
    return std::find(functions.begin(), functions.end(), entry.second) != functions.end();
  });
  if (freed > 0) {
    rebuild_web_labels(cx);  // a label that was taken over goes back to who had it before
  }
  // Who waits for a result reads how it ended; then it goes.
  for (const model::FunctionId& function : functions) {
    cx.stopped.emplace_back(monotonic_now() + keep_stopped_results, function);
  }
  cx.last_heartbeat.erase(app.id);
  cx.left_alone.erase(app.id);
  const Result<void> ended =
      co_await cx.fleet->stop_functions(std::move(functions), "the app was stopped: " + why);
  cx.parts.logs.end(app.id.str());
  co_return ended;
}

}  // namespace

pb::AppLayout layout_of(Context& cx, const model::App& app, const WebAddresses& addresses) {
  pb::AppLayout layout;
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  std::map<std::string, model::FunctionId> functions = app.functions;
  for (const auto& function : scope.functions_of(app.id)) {
    if (function->base.empty()) {
      functions.emplace(function->tag, function->id);  // not published yet
    }
  }
  for (const auto& [tag, id] : functions) {
    const auto function = scope.function(id.str());
    if (!function || !function->live()) {
      continue;
    }
    (*layout.mutable_function_ids())[tag] = id.str();
    auto* object = layout.add_objects();
    object->set_object_id(id.str());
    *object->mutable_function_handle_metadata() = handle_metadata(*function->live(), addresses);
  }
  for (const auto& [tag, id] : app.classes) {
    (*layout.mutable_class_ids())[tag] = id.str();
    auto* object = layout.add_objects();
    object->set_object_id(id.str());
    object->mutable_class_handle_metadata();
  }
  return layout;
}

namespace {

// Labels are of all workspaces: who has one is found by it.
struct LabelHolder {
  std::shared_ptr<const catalog::Function> function;
  std::shared_ptr<const model::App> app;
};

LabelHolder holder_of(Context& cx, const model::FunctionId& id) {
  LabelHolder holder;
  holder.function = cx.parts.catalog.functions.find(id.str());  // all workspaces: see above
  if (holder.function) {
    holder.app =
        cx.parts.catalog.apps.find(holder.function->app.str());  // all workspaces: as above
  }
  return holder;
}

WallTime deployed_at(Context& cx, const model::FunctionId& id) {
  const LabelHolder holder = holder_of(cx, id);
  return holder.app ? holder.app->deployed_at : WallTime{};
}

}  // namespace

Result<void> check_web_labels(Context& cx, const model::App& app, const model::FunctionSpec& spec) {
  for (const model::WebEndpoint& web : spec.web) {
    const auto entry = cx.web_labels.find(web.label);
    const LabelHolder holder =
        entry == cx.web_labels.end() ? LabelHolder{} : holder_of(cx, entry->second);
    const auto& other = holder.app;
    const auto live = holder.function ? holder.function->live() : nullptr;
    if (!other || !live || other->id == app.id || other->state == AppState::stopped ||
        !serves_label(*live, web.label)) {
      continue;
    }
    // A client that begins again may find that the end of its predecessor is not noticed yet, and
    // a deployment replaces the earlier one of its name.
    const std::string& name = app.name.empty() ? app.description : app.name;
    const std::string& other_name = other->name.empty() ? other->description : other->name;
    if (name == other_name && app.environment == other->environment) {
      continue;
    }
    const std::string by =
        other->workspace == app.workspace ? "app '" + other_name + "'" : "another workspace";
    return Error::already_exists("the web address '" + web.label + "' of function '" + spec.name +
                                 "' is held by " + by +
                                 "; give the function a label= of its own, or stop that app first");
  }
  return ok();
}

// Of several apps that want a label, the one deployed last has it.
void rebuild_web_labels(Context& cx) {
  // all workspaces: the labels of this server
  for (const auto& [id, function] : cx.parts.catalog.functions.all()) {
    const auto live = function->live();
    const auto app = holder_of(cx, function->id).app;
    if (live && function->base.empty() && app && app->state != AppState::stopped) {
      for (const auto& web : live->web) {
        (void)loopback_host(cx, web.label, live->workspace);
        const auto [entry, fresh] = cx.web_labels.emplace(web.label, function->id);
        if (!fresh && deployed_at(cx, entry->second) < app->deployed_at) {
          entry->second = function->id;
        }
      }
    }
  }
}

namespace {

// Nothing of this app waits or runs, and nobody can ask it for more by a web address.
bool has_no_work(Context& cx, const model::AppId& app) {
  // all workspaces: the app is one that this server ends by itself
  for (const auto& function : cx.parts.catalog.functions_of(app)) {
    const auto live = function->live();
    if (cx.parts.queue.demand(function->id).unfinished > 0 || (live && !live->web.empty())) {
      return false;
    }
  }
  return true;
}

// A generator that nobody follows any more is cancelled, and what it said goes with it. One that
// takes no notice, as a synchronous one may that is interrupted while it hands an item over, ends
// with its container.
async::Task<void> end_unread(Context& cx) {
  for (const model::CallId& id : cx.readers.take_left()) {
    const auto before = co_await cx.parts.queue.info(id);  // all workspaces: ended by the server
    const bool is_told = before && before->cancelled;
    const auto running = co_await cx.parts.queue.cancel(id);
    if (!running) {
      if (running.error().code() == Code::cancelled) {
        co_return running.error();
      }
      continue;  // it has ended, or the container's own end will tell
    }
    if (is_told && !running->empty()) {
      log_info("a cancelled generator runs on: its container is ended", {{"call", id.str()}});
      cx.fleet->cancel_inputs(*running, control::Fleet::StopHow::now);
    } else if (!is_told) {
      log_info("a generator without a reader is cancelled", {{"call", id.str()}});
      cx.fleet->cancel_inputs(*running, control::Fleet::StopHow::graceful);
    }
    cx.parts.queue.forget(id);
  }
  co_return ok();
}

// Apps that this server is ending by itself.
using Ending = std::shared_ptr<std::set<model::AppId>>;

// One that cannot be stopped now is found again at the next look.
Task<void> end_one(Context& cx, Ending ending, model::AppId id, std::string why) {
  const Result<void> ended = co_await stop_app(cx, id, std::move(why));
  ending->erase(id);
  if (ended) {
    cx.left_alone.erase(id);
  } else if (ended.error().code() != Code::cancelled) {
    log_warning("an app has not ended yet",
                {{"app", id.str()}, {"error", ended.error().to_string()}});
  }
  co_return ok();
}

// Behind the look that found it: a container may take long to end, and other apps do not wait.
void end_app(Context& cx, const Ending& ending, const model::AppId& id, std::string why) {
  if (ending->insert(id).second) {
    cx.tasks.start("stop app", end_one(cx, ending, id, std::move(why)));
  }
}

// Detached apps whose client is gone end with their last call.
void end_left_alone(Context& cx, const Ending& ending, Instant now) {
  std::vector<model::AppId> done;
  for (auto& [id, quiet_since] : cx.left_alone) {
    if (!has_no_work(cx, id)) {
      quiet_since = now;
    } else if (quiet_since + detached_quiet < now) {
      done.push_back(id);
    }
  }
  for (const model::AppId& id : done) {
    end_app(cx, ending, id, "its client is gone and its last call has ended");
  }
}

}  // namespace

namespace {

bool is_long_ago(WallTime time, Duration limit) {
  return time + std::chrono::duration_cast<std::chrono::microseconds>(limit) < wall_now();
}

// What is kept in memory for a while only.
void forget_results(Context& cx, Instant now) {
  while (!cx.to_forget.empty() && cx.to_forget.front().first <= now) {
    cx.parts.queue.forget(cx.to_forget.front().second);
    cx.to_forget.pop_front();
  }
  while (!cx.stopped.empty() && cx.stopped.front().first <= now) {
    cx.parts.queue.forget_all(cx.stopped.front().second);
    cx.stopped.pop_front();
  }
}

// Apps that nobody lives for any more end, and those that ended long ago are forgotten. What cannot
// be done for one of them does not keep the others: the first error is told.
Task<void> look_after_apps(Context& cx, Ending ending, Instant began) {
  const Instant now = monotonic_now();
  forget_results(cx, now);
  std::vector<model::AppId> abandoned;
  std::vector<model::AppId> old;
  // all workspaces: what has ended anywhere
  for (const auto& [id, app] : cx.parts.catalog.apps.all()) {
    const auto beat = cx.last_heartbeat.find(app->id);
    const Instant last = beat == cx.last_heartbeat.end() ? began : beat->second;
    const bool needs_client =
        app->state == AppState::ephemeral || app->state == AppState::initializing;
    if (needs_client && last + heartbeat_limit < now) {
      abandoned.push_back(app->id);
    }
    if (app->state == AppState::detached && last + heartbeat_limit < now) {
      cx.left_alone.emplace(app->id, now);
    }
    if (app->state == AppState::stopped && is_long_ago(app->stopped_at, cx.settings.keep_stopped)) {
      old.push_back(app->id);
    }
  }
  Result<void> outcome;
  const auto note = [&outcome](Result<void> one) {
    if (!one && outcome) {
      outcome = std::move(one);
    }
  };
  end_left_alone(cx, ending, now);
  for (const model::AppId& id : abandoned) {
    end_app(cx, ending, id, "its client is gone");
  }
  note(co_await end_unread(cx));
  for (const model::AppId& id : old) {
    note(co_await cx.parts.catalog.erase_app(id));
  }
  co_return outcome;
}

}  // namespace

async::Task<void> app_loop(Context& cx) {
  const auto ending = std::make_shared<std::set<model::AppId>>();
  return async::every(2s, "apps", [&cx, ending, began = monotonic_now()] {
    return look_after_apps(cx, ending, began);
  });
}

void add_app_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "AppCreate", create);
  add_once(table, cx, "AppGetOrCreate", get_or_create);
  add(table, cx, "AppHeartbeat", heartbeat);
  add(table, cx, "AppGetByDeploymentName", get_by_name);
  add(table, cx, "AppGetLayout", get_layout);
  add_once(table, cx, "AppPublish", publish);
  add(table, cx, "AppClientDisconnect", client_disconnect);
  add(table, cx, "AppStop", stop);
  add(table, cx, "AppGetLifecycle", get_lifecycle);
  add(table, cx, "AppGetInfo", get_info);
  add(table, cx, "AppList", list);
  add(table, cx, "AppDeploymentHistory", history);
}

}  // namespace thaw::dialect::modal
