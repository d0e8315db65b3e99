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
#include "thaw/dialect/modal/older_methods.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

using async::Task;
using model::AppState;

namespace {

bool is_word(const std::string& text, std::size_t longest) {
  return !text.empty() && text.size() <= longest &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

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
  out.set_created_by(app.created_by);
  out.set_deployed_at(unix_seconds(app.deployed_at));
  out.set_stopped_at(unix_seconds(app.stopped_at));
  out.set_stopped_by(app.stopped_by);
  out.set_version(app.version);
  for (const model::Deployment& deployment : app.history) {
    if (deployment.version == app.version) {
      out.set_deployed_by(deployment.by);
    }
  }
  return out;
}

// What a client keeps of an app that it has looked up: its functions by name, a class by "Name.*".
// Of a token for some functions, these.
pb::AppHandleMetadata app_metadata(const Context& cx, const gateway::Identity& who,
                                   const model::App& app) {
  pb::AppHandleMetadata out;
  const catalog::Scope scope = scope_of(cx, who);
  out.set_app_id(app.id.str());
  out.set_description(app.title());
  if (const auto environment = scope.environment(app.environment)) {
    out.set_environment_name(environment->name);
  }
  *out.mutable_lifecycle() = lifecycle_of(app);
  for (const auto& [tag, id] : app.functions) {
    if (!who.grants.is_narrow() || scope.function(id.str())) {
      (*out.mutable_functions())[tag] = id.str();
    }
  }
  return out;
}

using Tags = google::protobuf::Map<std::string, std::string>;

// Tags are shown, sorted and filtered by; they hold no data.
Result<void> check_tags(const Tags& tags) {
  constexpr std::size_t longest = 63;
  if (tags.size() > model::most_app_tags) {
    return Error::invalid_argument("an app has at most " + std::to_string(model::most_app_tags) +
                                   " tags, and " + std::to_string(tags.size()) + " were given");
  }
  for (const auto& [key, value] : tags) {
    if (!is_word(key, longest) || !is_word(value, longest)) {
      return Error::invalid_argument(
          "a tag and its value are 1 to 63 letters, digits, '-', '_' and '.', and '" +
          key.substr(0, longest) + "' = '" + value.substr(0, longest) + "' is not");
    }
  }
  return ok();
}

// Shown in lists and told with each look at the app. Clients allow 64 letters.
Result<void> check_words(const std::string& name, const std::string& description) {
  constexpr std::size_t longest_name = 256;
  constexpr std::size_t longest_description = 4'096;
  if (name.size() > longest_name || description.size() > longest_description) {
    return Error::invalid_argument(
        "the name of an app has at most " + std::to_string(longest_name) +
        " bytes and its description " + std::to_string(longest_description) + ", and '" +
        (name.empty() ? description : name).substr(0, 80) + "' is longer");
  }
  return ok();
}

struct NewApp {
  std::string description;
  AppState state = AppState::initializing;
  std::string name = {};
  std::map<std::string, std::string> tags = {};
  std::string by = {};
};

Task<model::App> new_app(Context& cx, const model::Environment& environment, NewApp wanted) {
  model::App app;
  app.name = std::move(wanted.name);
  app.id = model::AppId(codec::random_id("ap"));
  app.workspace = environment.workspace;
  app.environment = environment.id;
  app.description = std::move(wanted.description);
  app.state = wanted.state;
  app.tags = std::move(wanted.tags);
  app.created_by = std::move(wanted.by);
  app.created_at = wall_now();
  // Before the app is to be seen: one without a sign of life is from before a restart.
  cx.parts.clientless.beats(app.id);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.apps.put(app));
  co_return app;
}

Task<pb::AppCreateResponse> create(Context& cx, net::GrpcCall& call, pb::AppCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  THAW_CO_TRY_VOID(check_tags(request.tags()));
  THAW_CO_TRY_VOID(check_words({}, request.description()));
  NewApp wanted;
  wanted.description = request.description();
  wanted.state = state_from(request.app_state());
  wanted.tags.insert(request.tags().begin(), request.tags().end());
  wanted.by = cx.parts.access.name_of(who);
  THAW_CO_TRY(const model::App app, co_await new_app(cx, *environment, std::move(wanted)));
  pb::AppCreateResponse reply;
  reply.set_app_id(app.id.str());
  const std::string page = page_of_app(cx, call, app.id);
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
    *reply.mutable_handle_metadata() = app_metadata(cx, who, *app);
    co_return reply;
  }
  if (request.object_creation_type() != pb::OBJECT_CREATION_TYPE_CREATE_IF_MISSING) {
    co_return Error::not_found("app '" + request.app_name().substr(0, 80) + "' does not exist");
  }
  THAW_CO_TRY_VOID(check_words(request.app_name(), {}));
  NewApp wanted;
  wanted.description = request.app_name();
  wanted.state = AppState::deployed;
  wanted.name = request.app_name();
  wanted.by = cx.parts.access.name_of(who);
  THAW_CO_TRY(const model::App app, co_await new_app(cx, *environment, std::move(wanted)));
  reply.set_app_id(app.id.str());
  *reply.mutable_handle_metadata() = app_metadata(cx, who, app);
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::AppHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  cx.parts.clientless.beats(app->id);
  co_return Empty();
}

// Of those that had the name and were stopped lately; nullptr: there is none.
std::shared_ptr<const model::App> last_stopped(Context& cx, const gateway::Identity& who,
                                               const model::Environment& environment,
                                               const std::string& name) {
  std::shared_ptr<const model::App> last;
  for (const auto& app : scope_of(cx, who).apps_named(environment.id, name)) {
    if (app->state == AppState::stopped && (!last || last->stopped_at < app->stopped_at)) {
      last = app;
    }
  }
  return last;
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
  } else if (const auto ended = last_stopped(cx, who, *environment, request.name())) {
    reply.set_previous_app_id(ended->id.str());
    *reply.mutable_lifecycle() = lifecycle_of(*ended);
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

// By which a request that comes again is known; a stranger's form of it is cut short.
std::string key_of(const net::GrpcCall& call) {
  constexpr std::size_t longest = 64;
  return std::string(call.metadata().find("x-idempotency-key").value_or("").substr(0, longest));
}

// What a client says of itself is kept for each of many deployments.
std::string clipped(const std::string& text) {
  constexpr std::size_t longest = 200;
  return text.substr(0, longest);
}

Result<gateway::Publication> publication_of(const pb::AppPublishRequest& request) {
  gateway::Publication publication;
  constexpr std::size_t longest_tag = 50;
  if (!request.deployment_tag().empty() && !is_word(request.deployment_tag(), longest_tag)) {
    return Error::invalid_argument(
        "the tag of a deployment is 1 to 50 letters, digits, '-', '_' "
        "and '.', and '" +
        request.deployment_tag().substr(0, longest_tag) + "' is not");
  }
  THAW_TRY_VOID(check_tags(request.tags()));
  THAW_TRY_VOID(check_words(request.name(), {}));
  for (const auto& [tag, id] : request.function_ids()) {
    const auto definition = request.definition_ids().find(id);
    publication.functions[tag] = {
        model::FunctionId(id),
        definition == request.definition_ids().end() ? std::string() : definition->second};
  }
  for (const auto& [tag, id] : request.class_ids()) {
    publication.classes[tag] = model::ClassId(id);
  }
  publication.tags.insert(request.tags().begin(), request.tags().end());
  if (request.app_state() != pb::APP_STATE_UNSPECIFIED) {
    publication.state = state_from(request.app_state());
  }
  publication.name = request.name();
  publication.deployment_tag = request.deployment_tag();
  publication.client_version = clipped(request.client_version());
  const pb::CommitInfo& commit = request.commit_info();
  publication.revision = {clipped(commit.vcs()), clipped(commit.branch()),
                          clipped(commit.commit_hash()), commit.dirty()};
  publication.past = gateway::Publication::Past::kept;
  return publication;
}

Task<pb::AppPublishResponse> publish(Context& cx, net::GrpcCall& call,
                                     pb::AppPublishRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (request.client_version().empty()) {  // as of today's clients, which say it with each request
    request.set_client_version(
        std::string(call.metadata().find("x-modal-client-version").value_or("")));
  }
  auto published = co_await publish_app(cx, who, std::move(request), key_of(call));
  if (!published) {
    co_return published.error();
  }
  pb::AppPublishResponse reply;
  reply.set_url(page_of_app(cx, call, published->id));
  reply.set_deployed_at(
      unix_seconds(published->state == AppState::deployed ? published->deployed_at : wall_now()));
  co_return reply;
}

// What was live before, or was staged, is live now.
template <class Reply>
Task<Reply> bring_back(Context& cx, net::GrpcCall& call, std::string app, std::int32_t version,
                       model::Deployment::Kind kind) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const model::App live,
              co_await cx.parts.deployments.go_back(
                  scope_of(cx, who), std::move(app),
                  {version, kind, cx.parts.access.name_of(who), key_of(call)}));
  Reply reply;
  reply.set_url(page_of_app(cx, call, live.id));
  reply.set_deployed_at(unix_seconds(live.deployed_at));
  co_return reply;
}

Task<pb::AppRollbackResponse> rollback(Context& cx, net::GrpcCall& call,
                                       pb::AppRollbackRequest request) {
  co_return co_await bring_back<pb::AppRollbackResponse>(
      cx, call, request.app_id(), request.version(), model::Deployment::Kind::rollback);
}

Task<pb::AppPromoteResponse> promote(Context& cx, net::GrpcCall& call,
                                     pb::AppPromoteRequest request) {
  if (request.version() < 1) {
    THAW_CO_TRY([[maybe_unused]] const gateway::Identity who, identify(cx, call));
    co_return Error::invalid_argument("a promotion names the version that was staged");
  }
  co_return co_await bring_back<pb::AppPromoteResponse>(
      cx, call, request.app_id(), request.version(), model::Deployment::Kind::promotion);
}

Task<pb::AppRolloverResponse> rollover(Context& cx, net::GrpcCall& call,
                                       pb::AppRolloverRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const model::App app,
              co_await cx.parts.deployments.roll_over(scope_of(cx, who), request.app_id(),
                                                      cx.parts.access.name_of(who), key_of(call)));
  pb::AppRolloverResponse reply;
  reply.set_url(page_of_app(cx, call, app.id));
  reply.set_deployed_at(unix_seconds(app.deployed_at));
  co_return reply;
}

Task<Empty> set_tags(Context& cx, net::GrpcCall& call, pb::AppSetTagsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto found, find_app(cx, who, request.app_id()));
  THAW_CO_TRY_VOID(check_tags(request.tags()));
  if (found->state == AppState::stopped) {
    co_return Error::failed_precondition("app '" + found->id.str() + "' was stopped");
  }
  model::App app = *found;
  app.tags = {request.tags().begin(), request.tags().end()};
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.apps.put(std::move(app)));
  co_return Empty();
}

Task<pb::AppGetTagsResponse> get_tags(Context& cx, net::GrpcCall& call,
                                      pb::AppGetTagsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppGetTagsResponse reply;
  reply.mutable_tags()->insert(app->tags.begin(), app->tags.end());
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
    cx.parts.clientless.end(app->id, "the client disconnected");
  }
  if (app->state == AppState::detached && lives_on) {
    cx.parts.clientless.leaves(app->id);
  }
  co_return Empty();
}

Task<Empty> stop(Context& cx, net::GrpcCall& call, pb::AppStopRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  THAW_CO_TRY_VOID(co_await cx.parts.deployments.stop_app(app->id, "a client asked for it",
                                                          cx.parts.access.name_of(who)));
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
  *reply.mutable_info() = app_metadata(cx, who, *app);
  const catalog::Scope scope = scope_of(cx, who);
  for (const auto& [tag, id] : app->functions) {
    const auto function = scope.function(id.str());
    const auto live = function ? function->live() : nullptr;
    const auto definition =
        live ? parse_definition(*live) : Result<pb::Function>(Error::not_found("it is not live"));
    if (!definition) {
      continue;
    }
    auto& summary = (*reply.mutable_function_info_summaries())[id.str()];
    if (definition->resources().gpu_config().count() > 0) {
      *summary.add_gpu_config() = definition->resources().gpu_config();
    }
    *summary.mutable_schedule() = definition->schedule();
    summary.set_web_function(!live->web.empty());
    if (!live->web.empty()) {
      summary.set_requires_proxy_auth(live->web.front().callers ==
                                      model::WebEndpoint::Callers::token_holders);
    }
  }
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
    item->set_description(app->title());
    item->set_state(wire_state(app->state));
    item->set_created_at(unix_seconds(app->created_at));
    item->set_stopped_at(unix_seconds(app->stopped_at));
    *item->mutable_metadata() = app_metadata(cx, who, *app);
    std::size_t running = 0;
    for (const auto& function : scope.functions_of(app->id)) {
      running += cx.fleet->running_count(function->id);
    }
    item->set_n_running_tasks(static_cast<std::int32_t>(running));
  }
  co_return reply;
}

pb::DeploymentType wire_kind(model::Deployment::Kind kind) {
  using Kind = model::Deployment::Kind;
  switch (kind) {
    case Kind::standard: return pb::DEPLOYMENT_TYPE_STANDARD;
    case Kind::staged: return pb::DEPLOYMENT_TYPE_STAGED;
    case Kind::rollback: return pb::DEPLOYMENT_TYPE_ROLLBACK;
    case Kind::rollover: return pb::DEPLOYMENT_TYPE_ROLLOVER;
    case Kind::promotion: return pb::DEPLOYMENT_TYPE_PROMOTION;
  }
  return pb::DEPLOYMENT_TYPE_UNSPECIFIED;
}

Task<pb::AppDeploymentHistoryResponse> history(Context& cx, net::GrpcCall& call,
                                               pb::AppDeploymentHistoryRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::AppDeploymentHistoryResponse reply;
  std::set<int> kept;
  for (const auto& version : scope_of(cx, who).versions_of(app->id)) {
    kept.insert(version->number);
  }
  // The newest first, as people are shown it.
  for (auto entry = app->history.rbegin(); entry != app->history.rend(); ++entry) {
    const model::Deployment& deployment = *entry;
    auto* item = reply.add_app_deployment_histories();
    item->set_app_id(app->id.str());
    item->set_version(static_cast<std::uint32_t>(deployment.version));
    item->set_client_version(deployment.client_version);
    item->set_deployed_at(unix_seconds(deployment.at));
    item->set_tag(deployment.tag);
    item->set_deployed_by(deployment.by);
    item->set_deployment_type(wire_kind(deployment.kind));
    if (deployment.kind == model::Deployment::Kind::rollback) {
      item->set_rollback_version(static_cast<std::uint32_t>(deployment.of));
    }
    item->set_rollback_allowed(deployment.kind != model::Deployment::Kind::staged &&
                               deployment.version != app->version &&
                               kept.contains(deployment.version));
    if (!deployment.revision.system.empty()) {
      pb::CommitInfo& commit = *item->mutable_commit_info();
      commit.set_vcs(deployment.revision.system);
      commit.set_branch(deployment.revision.branch);
      commit.set_commit_hash(deployment.revision.hash);
      commit.set_dirty(deployment.revision.is_modified);
    }
  }
  reply.set_production_app_version(static_cast<std::uint32_t>(app->version));
  co_return reply;
}

}  // namespace

Task<model::App> publish_app(Context& cx, gateway::Identity who, pb::AppPublishRequest request,
                             std::string key) {
  drop_methods(request);
  THAW_CO_TRY(gateway::Publication publication, publication_of(request));
  publication.by = cx.parts.access.name_of(who);
  publication.key = std::move(key);
  gateway::Deployments& deployments = cx.parts.deployments;
  co_return request.staged()
      ? co_await deployments.stage(scope_of(cx, who), request.app_id(), std::move(publication))
      : co_await deployments.publish(scope_of(cx, who), request.app_id(), std::move(publication));
}

std::string page_of_app(const Context& cx, const net::GrpcCall& call, const model::AppId& id) {
  return base_for(cx, call) + "/apps/" + id.str();
}

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

pb::AppLayout layout_in_container(Context& cx, const model::FunctionSpec& spec,
                                  const pb::Function& definition, const WebAddresses& addresses) {
  const catalog::Scope scope = scope_of(cx, spec);
  pb::AppLayout layout;
  if (const auto app = scope.app(spec.app.str())) {
    layout = layout_of(cx, *app, addresses);
  }
  // The container looks its own service function up by name, and every dependency by id.
  std::set<std::string> present;
  for (const auto& object : layout.objects()) {
    present.insert(object.object_id());
  }
  if (present.insert(spec.id.str()).second) {
    auto* object = layout.add_objects();
    object->set_object_id(spec.id.str());
    *object->mutable_function_handle_metadata() = handle_metadata(spec, addresses);
  }
  (*layout.mutable_function_ids())[spec.name] = spec.id.str();
  for (const auto& dependency : definition.object_dependencies()) {
    if (!present.insert(dependency.object_id()).second) {
      continue;
    }
    auto* object = layout.add_objects();
    object->set_object_id(dependency.object_id());
    if (const auto volume = scope.volume(dependency.object_id())) {
      *object->mutable_volume_metadata() = volume_metadata(*volume);
    } else if (const auto mount = scope.mount(dependency.object_id())) {
      object->mutable_mount_handle_metadata()->set_content_checksum_sha256_hex(mount->checksum);
    }
  }
  return layout;
}

namespace {

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

// What is kept in memory for a while only.
Task<void> forget_results(Context& cx, Instant now) {
  while (!cx.to_forget.empty() && cx.to_forget.front().first <= now) {
    const model::CallId call = cx.to_forget.front().second;
    cx.to_forget.pop_front();
    THAW_CO_TRY_VOID(co_await cx.parts.call_trees.keep(call));
    cx.parts.queue.forget(call);
  }
  cx.parts.call_trees.forget_old();
  co_return ok();
}

// What nobody comes for.
Task<void> look_after_calls(Context& cx) {
  THAW_CO_TRY_VOID(co_await forget_results(cx, monotonic_now()));
  co_return co_await end_unread(cx);
}

}  // namespace

async::Task<void> unread_loop(Context& cx) {
  return async::every(2s, "what nobody reads", [&cx] { return look_after_calls(cx); });
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
  add_once(table, cx, "AppRollback", rollback);
  add_once(table, cx, "AppRollover", rollover);
  add_once(table, cx, "AppPromote", promote);
  add(table, cx, "AppSetTags", set_tags);
  add(table, cx, "AppGetTags", get_tags);
}

}  // namespace thaw::dialect::modal
