// SPDX-License-Identifier: Apache-2.0
// Functions and classes: creation in two steps, lookup, bound variants.
#include "thaw/dialect/modal/functions.h"

#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/build_functions.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/image_python.h"
#include "thaw/dialect/modal/numbers.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/dialect/modal/older_methods.h"
#include "thaw/dialect/modal/placement.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/scaling_limits.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/variant_limits.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/gateway/schedules.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr std::size_t most_classes = 10'000;  // of an app

bool is_ephemeral(const model::App& app) {
  return app.state == model::AppState::ephemeral || app.state == model::AppState::detached;
}

LabelPlace place_of(Context& cx, const model::App& app) {
  LabelPlace place;
  const catalog::Scope scope(cx.parts.catalog, app.workspace);
  const auto workspace = scope.workspace();
  if (workspace && app.workspace != cx.parts.catalog.default_workspace()) {
    place.workspace = workspace->name;
  }
  if (const auto own = scope.environment(app.environment)) {
    place.environment = web_suffix_of(*own);
  }
  return place;
}

// A function that exists under its name but has no version yet, with its versions kept otherwise.
catalog::Function record_for(const catalog::Scope& scope, const model::App& app,
                             const std::string& existing_id, const std::string& tag) {
  if (const auto known = scope.function(existing_id); known && known->app == app.id) {
    return *known;
  }
  catalog::Function record;
  record.id = model::FunctionId(codec::random_id("fu"));
  record.app = app.id;
  record.workspace = app.workspace;
  record.tag = tag;
  return record;
}

void fill_data(const model::FunctionSpec& spec, pb::FunctionData& data) {
  const auto parsed = parse_definition(spec);
  if (!parsed) {
    return;
  }
  const pb::Function& f = *parsed;
  data.set_module_name(f.module_name());
  data.set_function_name(f.function_name());
  data.set_function_type(f.function_type());
  data.set_timeout_secs(f.timeout_secs());
  data.set_is_class(f.is_class());
  data.set_is_method(f.is_method());
  data.set_implementation_name(f.implementation_name());
  *data.mutable_autoscaler_settings() = f.autoscaler_settings();
  *data.mutable_webhook_config() = f.webhook_config();
  *data.mutable_class_parameter_info() = f.class_parameter_info();
  *data.mutable_function_schema() = f.function_schema();
  *data.mutable_method_definitions() = f.method_definitions();
  data.set_method_definitions_set(f.method_definitions_set());
  *data.add_ranked_functions()->mutable_function() = f;
}

Task<pb::FunctionPrecreateResponse> precreate(Context& cx, net::GrpcCall& call,
                                              pb::FunctionPrecreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  if (const auto method = older_method(request)) {
    co_return precreate_method(cx, addresses_for(cx, call), *app, *method, request);
  }
  catalog::Function record =
      record_for(scope_of(cx, who), *app, request.existing_function_id(), request.function_name());
  pb::Function sketch;
  sketch.set_function_name(request.function_name());
  sketch.set_function_type(request.function_type());
  *sketch.mutable_webhook_config() = request.webhook_config();
  *sketch.mutable_method_definitions() = request.method_definitions();
  *sketch.mutable_function_schema() = request.function_schema();
  *sketch.mutable_supported_input_formats() = request.supported_input_formats();
  *sketch.mutable_supported_output_formats() = request.supported_output_formats();
  model::FunctionSpec spec;
  spec.id = record.id;
  spec.app = app->id;
  spec.workspace = app->workspace;
  spec.name = request.function_name();
  THAW_CO_TRY(spec.web, endpoints_of(cx, sketch, *app));
  sketch.SerializeToString(&spec.definition);
  pb::FunctionPrecreateResponse reply;
  reply.set_function_id(record.id.str());
  *reply.mutable_handle_metadata() = handle_metadata(spec, addresses_for(cx, call));
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.functions.put(std::move(record)));
  co_return reply;
}

// Every object a version refers to must exist now, not when the first container starts.
Result<void> check_references(Context& cx, const gateway::Identity& who,
                              const model::FunctionSpec& spec) {
  const catalog::Scope scope = scope_of(cx, who);
  if (!scope.image(spec.image.str())) {
    return Error::not_found("image '" + spec.image.str() + "' does not exist");
  }
  for (const auto& id : spec.mounts) {
    if (!scope.mount(id.str())) {
      return Error::not_found("mount '" + id.str() + "' does not exist");
    }
  }
  for (const auto& id : spec.secrets) {
    if (!scope.secret(id.str())) {
      return Error::not_found("secret '" + id.str() + "' does not exist");
    }
  }
  for (const auto& mount : spec.buckets) {
    if (!mount.secret.empty() && !scope.secret(mount.secret.str())) {
      return Error::not_found("secret '" + mount.secret.str() + "' does not exist");
    }
  }
  for (const auto& mount : spec.volumes) {
    THAW_TRY([[maybe_unused]] const auto volume, find_any_volume(cx, who, mount.volume.str()));
  }
  return ok();
}

// What the client's terminal is to say of the image's Python; empty: nothing.
Result<std::string> python_warning(Context& cx, const net::GrpcCall& call,
                                   const pb::Function& definition,
                                   const model::FunctionSpec& spec) {
  const auto image = scope_of(cx, spec).image(spec.image.str());
  const auto built = image ? cx.parts.images.find(image->key)
                           : Result<image::BuildResult>(Error::not_found("no image"));
  if (!built) {
    return std::string();
  }
  const auto client = call.metadata().find("x-modal-python-version");
  return check_python(definition, built->image, client.value_or(""));
}

// What it is to say of a GPU that the function asks for; empty: nothing.
std::string gpu_warning(const Context& cx, const model::FunctionSpec& spec) {
  if (spec.resources.gpu.empty()) {
    return {};
  }
  const bool on_cpu = cx.fleet->missing_gpu() == control::FleetOptions::MissingGpu::cpu;
  return "function '" + spec.name + "' asks for GPU " + spec.resources.gpu +
         ", and this server has none: " +
         (on_cpu ? "it runs on the CPU"
                 : "its calls fail; [gpu] when_missing = \"cpu\" in the server's configuration "
                   "runs it on the CPU");
}

// Of snapshots that are to hold a GPU's memory; empty: nothing.
std::string gpu_snapshot_warning(const pb::Function& definition) {
  if (!wants_gpu_snapshot(definition)) {
    return {};
  }
  return "function '" + definition.function_name() +
         "' asks for the GPU's memory in its snapshots, and this server has no GPU: they hold the "
         "memory of its program";
}

Task<pb::FunctionCreateResponse> create(Context& cx, net::GrpcCall& call,
                                        pb::FunctionCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  const auto& ranked = request.function_data().ranked_functions();
  if (!request.has_function() && ranked.empty()) {
    co_return Error::invalid_argument("FunctionCreate carries no definition");
  }
  for (const auto& one : ranked) {
    THAW_CO_TRY_VOID(check_placement(one.function()));
  }
  // A list of GPUs is a list of definitions, best first; one machine serves the first.
  pb::Function definition = request.has_function() ? request.function() : ranked[0].function();
  if (auto method = older_method(definition)) {
    co_return co_await create_method(cx, addresses_for(cx, call), app, std::move(*method),
                                     std::move(definition));
  }
  in_todays_words(definition);
  catalog::Function record = record_for(scope_of(cx, who), *app, request.existing_function_id(),
                                        definition.function_name());
  auto parsed = spec_from(definition);
  if (!parsed) {
    co_return parsed.error();
  }
  if (parsed->reach == model::Reach::workspace && !who.environment.empty()) {
    co_return Error::permission_denied(
        "function '" + definition.function_name() +
        "' asks for all of the workspace, and this container acts in its own environment only: "
        "deploy it from outside, or from a function that has as much");
  }
  const pb::Schedule& asked = has_schedule(definition.schedule())
                                  ? definition.schedule()
                                  : request.function_data().schedule();
  // `modal run` runs a function by hand, whatever its schedule: only a deployment promises one.
  const std::string schedule = has_schedule(asked) && is_ephemeral(*app)
                                   ? schedule_warning(definition.function_name())
                                   : std::string();
  auto spec = std::make_shared<model::FunctionSpec>(std::move(*parsed));
  if (has_schedule(asked)) {
    spec->schedule = schedule_from(asked);
    if (const Result<void> kept = gateway::check(*spec->schedule, cx.parts.zones); !kept) {
      co_return Error::invalid_argument("the schedule of function '" + definition.function_name() +
                                        "': " + kept.error().message());
    }
  }
  spec->id = record.id;
  spec->version = codec::random_id("de");
  spec->app = app->id;
  spec->workspace = app->workspace;
  spec->environment = app->environment;
  THAW_CO_TRY(spec->web, endpoints_of(cx, definition, *app));
  THAW_CO_TRY_VOID(
      bound_scaling(*spec, cx.fleet->most_of_one_function(), cx.fleet->most_containers()));
  THAW_CO_TRY_VOID(cx.parts.labels.check(*app, *spec));
  THAW_CO_TRY_VOID(check_references(cx, who, *spec));
  THAW_CO_TRY(const std::string python, python_warning(cx, call, definition, *spec));
  // Drafts that were never published make room; the live version stays until the next publication.
  std::erase_if(record.versions,
                [&](const auto& entry) { return entry.first != record.live_version; });
  record.versions[spec->version] = spec;
  pb::FunctionCreateResponse reply;
  reply.set_function_id(record.id.str());
  for (const std::string& warning :
       {schedule, python, gpu_warning(cx, *spec), gpu_snapshot_warning(definition)}) {
    if (!warning.empty()) {
      auto* said = reply.add_server_warnings();
      said->set_type(pb::Warning::WARNING_TYPE_FUNCTION_CONFIGURATION);
      said->set_message(warning);
    }
  }
  *reply.mutable_function() = definition;
  *reply.mutable_handle_metadata() = handle_metadata(*spec, addresses_for(cx, call));
  reply.mutable_function()->set_web_url(reply.handle_metadata().web_url());
  for (auto& [method, method_definition] :
       *reply.mutable_function()->mutable_method_definitions()) {
    const auto& methods = reply.handle_metadata().method_handle_metadata();
    if (const auto found = methods.find(method); found != methods.end()) {
      method_definition.set_web_url(found->second.web_url());
    }
  }
  fill_data(*spec, *reply.mutable_function_data());
  *reply.mutable_function_data()->mutable_ranked_functions(0)->mutable_function() =
      reply.function();
  if (definition.is_builder_function()) {
    // It runs once, in an image's build, and is no function of the app.
    THAW_CO_TRY_VOID(cx.build_functions->keep(spec));
    co_return reply;
  }
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.functions.put(std::move(record)));
  co_return reply;
}

Result<std::shared_ptr<const catalog::Function>> by_name(Context& cx, const gateway::Identity& who,
                                                         const std::string& environment,
                                                         const std::string& app_name,
                                                         const std::string& tag) {
  THAW_TRY(const auto env, find_environment(cx, who, environment));
  const catalog::Scope scope = scope_of(cx, who);
  const auto app = scope.deployed_app(env->id, app_name);
  if (!app) {
    return Error::not_found("app '" + app_name + "' is not deployed in environment '" + env->name +
                            "'; `modal deploy` it first");
  }
  const auto found = app->functions.find(tag);
  auto function = found == app->functions.end() ? nullptr : scope.function(found->second.str());
  if (!function) {
    return Error::not_found("app '" + app_name + "' has no function '" + tag + "'");
  }
  return function;
}

Task<pb::FunctionGetResponse> get(Context& cx, net::GrpcCall& call,
                                  pb::FunctionGetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const auto environment = find_environment(cx, who, request.environment_name());
  const catalog::Scope scope = scope_of(cx, who);
  const auto app =
      environment ? scope.deployed_app((*environment)->id, request.app_name()) : nullptr;
  if (app && !app->functions.contains(request.object_tag())) {
    if (auto method = find_method(scope, *app, request.object_tag(), addresses_for(cx, call))) {
      co_return std::move(*method);
    }
  }
  THAW_CO_TRY(const auto function, by_name(cx, who, request.environment_name(), request.app_name(),
                                           request.object_tag()));
  THAW_CO_TRY(const auto spec, live_spec(*function));
  if (request.app_version() != 0 && app && request.app_version() != app->version) {
    co_return Error::unimplemented(
        "app '" + app->title() + "' is live at version " + std::to_string(app->version) +
        ", and version " + std::to_string(request.app_version()) +
        " is not called beside it by this version of Thaw; roll back to it, or leave version= out");
  }
  pb::FunctionGetResponse reply;
  reply.set_function_id(function->id.str());
  *reply.mutable_handle_metadata() = handle_metadata(*spec, addresses_for(cx, call));
  fill_data(*spec, *reply.mutable_function());
  co_return reply;
}

Task<pb::FunctionGetByIdResponse> get_by_id(Context& cx, net::GrpcCall& call,
                                            pb::FunctionGetByIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  THAW_CO_TRY(const auto spec, live_spec(*function));
  pb::FunctionGetByIdResponse reply;
  *reply.mutable_handle_metadata() = handle_metadata(*spec, addresses_for(cx, call));
  fill_data(*spec, *reply.mutable_function());
  co_return reply;
}

// A variant is named by what it is made of, so that asking twice gives the same pool.
model::FunctionId variant_id(const model::FunctionSpec& base,
                             const pb::FunctionBindParamsRequest& request) {
  std::string options;
  request.function_options().SerializeToString(&options);
  const std::string text = base.id.str() + "\n" + base.version + "\n" +
                           codec::hex_encode(request.serialized_params()) + "\n" +
                           codec::hex_encode(options);
  return model::FunctionId("fu-" + store::sha256_hex(text).substr(0, 22));
}

// What a variant is to have besides its parameters changes what runs, with what it holds and how
// much of it: the base's author would have to deploy that.
constexpr gateway::Operation binding_options = {
    "a function with options", model::TokenScope::deploy, gateway::Operation::Of::workspace};

Task<pb::FunctionBindParamsResponse> bind_params(Context& cx, net::GrpcCall& call,
                                                 pb::FunctionBindParamsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(auto function, find_function(cx, who, request.function_id()));
  // Some clients send options when they mean none.
  if (request.function_options().ByteSizeLong() > 0) {
    THAW_CO_TRY_VOID(gateway::check_may(who, binding_options));
    in_todays_words(*request.mutable_function_options());
  }
  // What the base has is of no function, and is the variant's all the same.
  THAW_CO_TRY(const auto variant,
              co_await variant_of(cx, gateway::for_making(who), std::move(function),
                                  std::move(request), VariantFor::client));
  pb::FunctionBindParamsResponse reply;
  reply.set_bound_function_id(variant->id.str());
  *reply.mutable_handle_metadata() = handle_metadata(*variant->live(), addresses_for(cx, call));
  co_return reply;
}

Task<pb::ClassCreateResponse> class_create(Context& cx, net::GrpcCall& call,
                                           pb::ClassCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
  pb::ClassCreateResponse reply;
  *reply.mutable_handle_metadata()->mutable_methods() = std::move(*request.mutable_methods());
  const auto known = scope_of(cx, who).app_class(request.existing_class_id());
  if (known && known->app == app->id) {
    reply.set_class_id(known->id.str());
    co_return reply;
  }
  // all workspaces: the app is the asker's
  if (cx.parts.catalog.classes.find_by_key(app->id.str()).size() >= most_classes) {
    co_return Error::resource_exhausted("the app has " + std::to_string(most_classes) +
                                        " classes, as many as it may");
  }
  model::Class record;
  record.id = model::ClassId(codec::random_id("cs"));
  record.app = app->id;
  reply.set_class_id(record.id.str());
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.classes.put(std::move(record)));
  co_return reply;
}

Task<pb::ClassGetResponse> class_get(Context& cx, net::GrpcCall& call,
                                     pb::ClassGetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto env, find_environment(cx, who, request.environment_name()));
  const auto app = scope_of(cx, who).deployed_app(env->id, request.app_name());
  if (!app) {
    co_return Error::not_found("app '" + request.app_name() + "' is not deployed in environment '" +
                               env->name + "'; `modal deploy` it first");
  }
  const auto found = app->classes.find(request.object_tag());
  if (found == app->classes.end() ||
      !who.grants.names(app->title(), service_tag(request.object_tag()))) {
    co_return Error::not_found("app '" + request.app_name() + "' has no class '" +
                               request.object_tag() + "'");
  }
  pb::ClassGetResponse reply;
  reply.set_class_id(found->second.str());
  reply.mutable_handle_metadata();
  if (!request.only_class_function()) {
    const auto service = by_name(cx, who, request.environment_name(), request.app_name(),
                                 service_tag(request.object_tag()));
    *reply.mutable_handle_metadata() =
        class_metadata(service ? (*service)->live().get() : nullptr, addresses_for(cx, call));
  }
  co_return reply;
}

Task<pb::FunctionStats> current_stats(Context& cx, net::GrpcCall& call,
                                      pb::FunctionGetCurrentStatsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  const queue::Demand demand = cx.parts.queue.demand(function->id);
  pb::FunctionStats reply;
  reply.set_backlog(static_cast<std::uint32_t>(demand.ready));
  reply.set_num_running_inputs(static_cast<std::uint32_t>(demand.leased));
  reply.set_num_total_tasks(static_cast<std::uint32_t>(cx.fleet->running_count(function->id)));
  co_return reply;
}

pb::AutoscalerSettings settings_of(const model::Scaling& scaling) {
  pb::AutoscalerSettings out;
  out.set_min_containers(static_cast<std::uint32_t>(scaling.min_containers));
  out.set_max_containers(static_cast<std::uint32_t>(scaling.max_containers));
  out.set_buffer_containers(static_cast<std::uint32_t>(scaling.buffer_containers));
  out.set_scaledown_window(static_cast<std::uint32_t>(to_seconds(scaling.scaledown_window)));
  return out;
}

Task<pb::FunctionGetSchedulingParamsResponse> get_scheduling(
    Context& cx, net::GrpcCall& call, pb::FunctionGetSchedulingParamsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  THAW_CO_TRY(const auto live, live_spec(*function));
  pb::FunctionGetSchedulingParamsResponse reply;
  *reply.mutable_autoscaler_configuration()->mutable_settings() = settings_of(live->scaling);
  co_return reply;
}

Task<pb::FunctionUpdateSchedulingParamsResponse> update_scheduling(
    Context& cx, net::GrpcCall& call, pb::FunctionUpdateSchedulingParamsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  THAW_CO_TRY(const auto live, live_spec(*function));
  pb::AutoscalerSettings settings = request.settings();
  if (!request.has_settings()) {
    settings.set_min_containers(
        request.warm_pool_size_override());  // of older clients: keep_warm()
  }
  THAW_CO_TRY_VOID(check_numbers(settings));
  auto spec = std::make_shared<model::FunctionSpec>(*live);
  model::Scaling& scaling = spec->scaling;
  if (settings.has_min_containers()) {
    scaling.min_containers = container_count(settings.min_containers());
  }
  if (settings.has_max_containers()) {
    scaling.max_containers = container_count(settings.max_containers());
  }
  if (settings.has_buffer_containers()) {
    scaling.buffer_containers = container_count(settings.buffer_containers());
  }
  if (settings.has_scaledown_window()) {
    scaling.scaledown_window = std::chrono::seconds(settings.scaledown_window());
    scaling.window_by = model::Scaling::WindowBy::user;
  }
  THAW_CO_TRY_VOID(
      bound_scaling(*spec, cx.fleet->most_of_one_function(), cx.fleet->most_containers()));
  pb::FunctionUpdateSchedulingParamsResponse reply;
  *reply.mutable_current_settings() = settings_of(scaling);
  // The version stays: running containers keep serving, only the policy changes.
  catalog::Function record = *function;
  record.versions[spec->version] = spec;
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.functions.put(std::move(record)));
  cx.fleet->refresh(function->id);
  co_return reply;
}

Task<pb::FunctionGetDynamicConcurrencyResponse> dynamic_concurrency(
    Context& cx, net::GrpcCall& call, pb::FunctionGetDynamicConcurrencyRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  // A container takes its target, and up to its maximum while more waits than new containers help.
  const queue::Demand demand = cx.parts.queue.demand(function->id);
  pb::FunctionGetDynamicConcurrencyResponse reply;
  reply.set_concurrency(demand.ready > 0 ? request.max_concurrency()
                                         : request.target_concurrency());
  co_return reply;
}

void note_asked(Context& cx, const model::FunctionId& base, const model::FunctionId& id,
                VariantFor whom, bool is_made) {
  if (whom == VariantFor::url) {
    cx.url_variants.asked(base, id, is_made);
  } else {
    cx.url_variants.forget(base, id);
  }
}

// The one that was asked for by an address longest ago goes, if nothing is to be done for it.
Task<void> make_room_for_variant(Context& cx, model::FunctionId base) {
  const auto oldest = cx.url_variants.oldest(base, [&cx](const model::FunctionId& id) {
    const queue::Demand demand = cx.parts.queue.demand(id);
    return demand.unfinished == 0 && cx.fleet->running_count(id) == 0;
  });
  if (!oldest) {
    co_return ok();
  }
  cx.url_variants.forget(base, *oldest);
  catalog::Change change;
  cx.parts.catalog.erase_function(change, *oldest);
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.apply(std::move(change)));
  co_return co_await cx.fleet->stop_functions({*oldest}, "others asked for other parameters");
}

Task<void> forget_variants(Context& cx) {
  cx.url_variants.keep_only([&cx](const model::FunctionId& id) {
    return cx.parts.catalog.functions.find(id.str()) != nullptr;  // all workspaces: gone anywhere
  });
  co_return ok();
}

}  // namespace

Result<std::vector<model::WebEndpoint>> endpoints_of(Context& cx, const pb::Function& f,
                                                     const model::App& app) {
  const LabelPlace place = place_of(cx, app);
  std::vector<model::WebEndpoint> endpoints;
  const std::string& app_name = app.title();
  const auto add = [&](const std::string& method, const std::string& name,
                       const pb::WebhookConfig& config) -> Result<void> {
    model::WebEndpoint web;
    THAW_TRY(web.label, web_label(app_name, name, config, is_ephemeral(app), place));
    web.method = method;
    web.callers = config.requires_proxy_auth() ? model::WebEndpoint::Callers::token_holders
                                               : model::WebEndpoint::Callers::anyone;
    if (config.type() == pb::WEBHOOK_TYPE_WEB_SERVER) {
      web.kind = model::WebEndpoint::Kind::server_port;
      web.port = static_cast<std::uint16_t>(config.web_server_port());
    }
    if (!web.label.empty()) {
      endpoints.push_back(std::move(web));
    }
    return ok();
  };
  THAW_TRY_VOID(add("", f.function_name(), f.webhook_config()));
  for (const auto& [method, definition] : f.method_definitions()) {
    THAW_TRY_VOID(add(method, definition.function_name(), definition.webhook_config()));
  }
  return endpoints;
}

async::Task<std::shared_ptr<const catalog::Function>> variant_of(
    Context& cx, gateway::Identity who, std::shared_ptr<const catalog::Function> function,
    pb::FunctionBindParamsRequest request, VariantFor whom) {
  THAW_CO_TRY(const auto base, live_spec(*function));
  const model::FunctionId id = variant_id(*base, request);
  cx.parts.unused.note_use(id.str());
  const catalog::Scope scope = scope_of(cx, who);
  if (auto known = scope.function(id.str())) {
    note_asked(cx, base->id, id, whom, false);
    co_return known;
  }
  THAW_CO_TRY_VOID(check_reach_of_options(who, *base, request.function_options()));
  if (whom == VariantFor::url &&
      !admit_variant(scope.functions_of(base->app), *base, most_variants_by_url)) {
    THAW_CO_TRY_VOID(co_await make_room_for_variant(cx, base->id));
    if (!scope.function(base->id.str())) {
      co_return Error::not_found("function '" + base->name + "' was removed meanwhile");
    }
    if (auto known = scope.function(id.str())) {
      co_return known;  // of who asked for it meanwhile
    }
  }
  THAW_CO_TRY_VOID(admit_variant(scope.functions_of(base->app), *base,
                                 whom == VariantFor::url ? most_variants_by_url : most_variants));
  THAW_CO_TRY(const pb::Function definition, parse_definition(*base));
  const pb::Function merged = with_options(definition, request.function_options());
  auto parsed = spec_from(merged);
  if (!parsed) {
    co_return parsed.error();
  }
  auto spec = std::make_shared<model::FunctionSpec>(std::move(*parsed));
  spec->id = id;
  spec->version = base->version;
  spec->app = base->app;
  spec->workspace = base->workspace;
  spec->environment = base->environment;
  spec->base = base->id;
  spec->parameters = request.serialized_params();
  if (!request.function_options().has_warm_pool_size()) {
    // Keeping warm what was never asked for would multiply with every set of parameters.
    spec->scaling.min_containers = 0;
  }
  THAW_CO_TRY_VOID(
      bound_scaling(*spec, cx.fleet->most_of_one_function(), cx.fleet->most_containers()));
  THAW_CO_TRY_VOID(check_references(cx, who, *spec));
  catalog::Function record;
  record.id = id;
  record.app = base->app;
  record.workspace = base->workspace;
  record.tag = function->tag;
  record.base = base->id;
  record.live_version = spec->version;
  record.versions[spec->version] = spec;
  THAW_CO_TRY_VOID(co_await cx.parts.catalog.functions.put(std::move(record)));
  note_asked(cx, base->id, id, whom, true);
  cx.fleet->refresh(id);
  auto made = scope.function(id.str());
  if (!made) {
    co_return Error::aborted("function '" + base->name + "' was deployed anew meanwhile");
  }
  co_return made;
}

async::Task<void> variants_loop(Context& cx) {
  return async::every(1min, "variants by address", [&cx] { return forget_variants(cx); });
}

void add_function_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "FunctionPrecreate", precreate);
  add_once(table, cx, "FunctionCreate", create);
  add(table, cx, "FunctionGet", get);
  add(table, cx, "FunctionGetById", get_by_id);
  add(table, cx, "FunctionBindParams", bind_params);
  add_once(table, cx, "ClassCreate", class_create);
  add(table, cx, "ClassGet", class_get);
  add(table, cx, "FunctionGetCurrentStats", current_stats);
  add(table, cx, "FunctionGetSchedulingParams", get_scheduling);
  add(table, cx, "FunctionUpdateSchedulingParams", update_scheduling);
  add(table, cx, "FunctionGetDynamicConcurrency", dynamic_concurrency);
}

}  // namespace thaw::dialect::modal
