// SPDX-License-Identifier: Apache-2.0
// What a client asks of the server about sandboxes: to make one, to find it, its tags, its end. Two
// generations of clients have names of their own for most of it; whichever made a sandbox, both
// find it. What is asked of one that runs is in task_router.cc.
#include <algorithm>

#include "thaw/codec/ids.h"
#include "thaw/codec/utf8.h"
#include "thaw/dialect/modal/box_ports.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/router_access.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/sandbox_definition.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// The client waits so long and a little more.
constexpr Duration longest_wait = 55s;
constexpr std::size_t page = 100;
constexpr std::size_t piece_bytes = 256u << 10;

// The shape of its id tells a client by which calls it speaks of a sandbox.
enum class Generation { first, second };

void name_it(control::BoxSpec& spec, Generation generation) {
  std::string container = codec::random_container_id();
  if (generation == Generation::first) {
    spec.record.id = model::BoxId(codec::random_id("sb"));
  } else {
    spec.record.id = model::BoxId("sb-" + codec::random_container_id().substr(3));
    container.back() = 'V';
  }
  spec.record.container = model::ContainerId(container);
}

Task<control::BoxPtr> create(Context& cx, gateway::Identity who, control::BoxSpec spec,
                             std::string app_id, Generation generation, WebAddresses addresses) {
  THAW_CO_TRY(const auto app, find_app(cx, who, app_id));
  if (app->state == model::AppState::stopped) {
    co_return Error::failed_precondition("app '" + app->title() + "' was stopped");
  }
  THAW_CO_TRY_VOID(check_references(cx, who, spec));
  spec.record.workspace = app->workspace;
  spec.record.environment = app->environment;
  spec.record.app = app->id;
  spec.binds = cx.sandbox_binds;
  name_it(spec, generation);
  THAW_CO_TRY(const control::BoxPtr box, co_await cx.parts.boxes.create(std::move(spec)));
  if (const Result<void> opened = open_ports(cx, addresses, box); !opened) {
    const std::string why = opened.error().message();
    THAW_CO_TRY_VOID(co_await cx.parts.boxes.terminate(box, model::BoxEnd::start_failed, why));
    co_return opened.error();
  }
  co_return box;
}

// Of buckets whose credentials are of no secret that has a name.
Result<void> add_credentials(const pb::SandboxCreateV2Request& request, control::BoxSpec& spec) {
  for (const auto& [given, variables] : request.cloud_bucket_mount_credentials()) {
    THAW_TRY(const std::string path, folder_for_mount(given));
    for (control::BucketUse& use : spec.buckets) {
      if (use.mount.path != path) {
        continue;
      }
      for (const auto& [name, value] : variables.contents()) {
        THAW_TRY(std::string variable, variable_from(name, value));
        use.credentials.emplace_back(std::move(variable));
      }
    }
  }
  return ok();
}

Task<pb::SandboxCreateV2Response> create_second(Context& cx, net::GrpcCall& call,
                                                pb::SandboxCreateV2Request request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(control::BoxSpec spec, box_from(request.definition()));
  THAW_CO_TRY(spec.record.tags, tags_from(request.tags()));
  THAW_CO_TRY_VOID(add_credentials(request, spec));
  // Those of the definition are among the sources, which have their order.
  const catalog::Scope scope = scope_of(cx, who);
  THAW_CO_TRY(const std::vector<control::EnvSource> secrets,
              request.secret_sources_size() > 0
                  ? environment_from(scope, request.secret_sources())
                  : environment_from(scope, request.definition().secret_ids()));
  spec.environment.insert(spec.environment.end(), secrets.begin(), secrets.end());
  const WebAddresses addresses = addresses_for(cx, call);
  THAW_CO_TRY(const control::BoxPtr box, co_await create(cx, who, std::move(spec), request.app_id(),
                                                         Generation::second, addresses));
  pb::SandboxCreateV2Response reply;
  reply.set_sandbox_id(box->record.id.str());
  reply.set_task_id(box->record.container.str());
  tell_tunnels(cx, addresses, box, *reply.mutable_tunnels());
  *reply.mutable_metadata() = handle_metadata(box->record);
  // A client that cannot use it is told so when it asks for it.
  if (auto access = router_access(cx, call, who, box->record)) {
    *reply.mutable_command_router_access() = std::move(*access);
  }
  co_return reply;
}

Task<pb::SandboxCreateResponse> create_first(Context& cx, net::GrpcCall& call,
                                             pb::SandboxCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(control::BoxSpec spec, box_from(request.definition()));
  THAW_CO_TRY(spec.record.tags, tags_from(request.tags()));
  THAW_CO_TRY(const std::vector<control::EnvSource> secrets,
              environment_from(scope_of(cx, who), request.definition().secret_ids()));
  spec.environment.insert(spec.environment.end(), secrets.begin(), secrets.end());
  THAW_CO_TRY(const control::BoxPtr box,
              co_await create(cx, who, std::move(spec), request.app_id(), Generation::first,
                              addresses_for(cx, call)));
  pb::SandboxCreateResponse reply;
  reply.set_sandbox_id(box->record.id.str());
  *reply.mutable_metadata() = handle_metadata(box->record);
  co_return reply;
}

Task<pb::SandboxWaitResponse> wait(Context& cx, net::GrpcCall& call,
                                   pb::SandboxWaitRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  if (found.box) {
    const Instant until = poll_deadline(request.timeout(), longest_wait);
    THAW_CO_TRY([[maybe_unused]] const bool ended,
                co_await cx.parts.boxes.wait_for_end(found.box, until));
  }
  pb::SandboxWaitResponse reply;
  tell_result(found.now(), *reply.mutable_result());
  *reply.mutable_metadata() = handle_metadata(found.now());
  co_return reply;
}

Task<pb::SandboxTerminateResponse> terminate(Context& cx, net::GrpcCall& call,
                                             pb::SandboxTerminateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  pb::SandboxTerminateResponse reply;
  if (found.now().has_ended()) {
    tell_result(found.now(), *reply.mutable_existing_result());
  } else if (found.box) {
    THAW_CO_TRY_VOID(co_await cx.parts.boxes.terminate(found.box, model::BoxEnd::terminated,
                                                       "the sandbox was terminated"));
  }
  co_return reply;
}

// One that has ended has its container's id as long as its output can be read.
Task<pb::SandboxGetTaskIdResponse> task_id(Context& cx, net::GrpcCall& call,
                                           pb::SandboxGetTaskIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  pb::SandboxGetTaskIdResponse reply;
  if (found.box) {
    reply.set_task_id(found.now().container.str());
  }
  if (found.now().has_ended()) {
    tell_result(found.now(), *reply.mutable_task_result());
  }
  co_return reply;
}

Task<pb::SandboxGetFromNameResponse> from_name(Context& cx, net::GrpcCall& call,
                                               pb::SandboxGetFromNameRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  const catalog::Scope scope = scope_of(cx, who);
  const auto app = scope.deployed_app(environment->id, request.app_name());
  const auto box = app ? scope.named_box(app->id, request.sandbox_name()) : nullptr;
  if (!box || (box->has_ended() && !request.include_terminated())) {
    co_return Error::not_found("no sandbox named '" + request.sandbox_name().substr(0, 80) +
                               "' runs in app '" + request.app_name().substr(0, 80) + "'");
  }
  pb::SandboxGetFromNameResponse reply;
  reply.set_sandbox_id(box->id.str());
  *reply.mutable_metadata() = handle_metadata(*box);
  co_return reply;
}

bool has_tags(const model::Box& box, const Tags& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const auto& tag) {
    const auto found = box.tags.find(tag.first);
    return found != box.tags.end() && found->second == tag.second;
  });
}

void describe(const model::Box& box, pb::SandboxInfo& info) {
  info.set_id(box.id.str());
  info.set_created_at(unix_seconds(box.created_at));
  info.set_app_id(box.app.str());
  info.set_name(box.name);
  info.set_image_id(box.image.str());
  info.set_timeout_secs(static_cast<std::uint32_t>(to_seconds(box.time_limit)));
  if (box.idle_limit > Duration::zero()) {
    info.set_idle_timeout_secs(static_cast<std::uint32_t>(to_seconds(box.idle_limit)));
  }
  add_tags(box.tags, *info.mutable_tags());
  pb::TaskInfo& task = *info.mutable_task_info();
  task.set_id(box.container.str());
  task.set_sandbox_id(box.id.str());
  task.set_enqueued_at(unix_seconds(box.created_at));
  task.set_started_at(unix_seconds(box.started_at));
  task.set_finished_at(unix_seconds(box.ended_at));
  if (box.has_ended()) {
    tell_result(box, *task.mutable_result());
  }
  *info.mutable_metadata() = handle_metadata(box);
}

Task<pb::SandboxListResponse> list(Context& cx, net::GrpcCall& call,
                                   pb::SandboxListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const catalog::Scope scope = scope_of(cx, who);
  THAW_CO_TRY(const Tags tags, tags_from(request.tags()));
  model::EnvironmentId environment;
  if (!request.app_id().empty()) {
    THAW_CO_TRY(const auto app, find_app(cx, who, request.app_id()));
    environment = app->environment;
  } else {
    THAW_CO_TRY(const auto found, find_environment(cx, who, request.environment_name()));
    environment = found->id;
  }
  std::vector<catalog::Found<model::Box>> boxes;
  for (const auto& box : scope.boxes_in(environment)) {
    const bool is_wanted = (request.app_id().empty() || box->app.str() == request.app_id()) &&
                           (request.include_finished() || !box->has_ended()) &&
                           (request.before_timestamp() <= 0 ||
                            unix_seconds(box->created_at) < request.before_timestamp()) &&
                           has_tags(*box, tags);
    if (is_wanted) {
      boxes.push_back(box);
    }
  }
  std::sort(boxes.begin(), boxes.end(),
            [](const auto& a, const auto& b) { return a->created_at > b->created_at; });
  if (boxes.size() > page) {
    boxes.resize(page);
  }
  pb::SandboxListResponse reply;
  for (const auto& box : boxes) {
    describe(*box, *reply.add_sandboxes());
  }
  co_return reply;
}

Task<pb::SandboxTagsGetResponse> get_tags(Context& cx, net::GrpcCall& call,
                                          pb::SandboxTagsGetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  pb::SandboxTagsGetResponse reply;
  add_tags(found.now().tags, *reply.mutable_tags());
  co_return reply;
}

Task<Empty> set_tags(Context& cx, net::GrpcCall& call, pb::SandboxTagsSetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  THAW_CO_TRY(Tags tags, tags_from(request.tags()));
  if (!found.box || found.now().has_ended()) {
    co_return Error::failed_precondition("sandbox '" + request.sandbox_id() + "' has ended");
  }
  THAW_CO_TRY_VOID(co_await cx.parts.boxes.set_tags(found.box, std::move(tags)));
  co_return Empty();
}

Task<pb::SandboxGetCommandRouterAccessResponse> access_second(
    Context& cx, net::GrpcCall& call, pb::SandboxGetCommandRouterAccessRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  control::BoxPtr box;
  if (request.has_task_id()) {
    box = box_of_container(cx, who, request.task_id());
  } else {
    THAW_CO_TRY(FoundBox found, find_box(cx, who, request.sandbox_id()));
    box = std::move(found.box);
  }
  if (!box) {
    const std::string& asked = request.has_task_id() ? request.task_id() : request.sandbox_id();
    co_return Error::not_found("sandbox '" + asked.substr(0, 80) +
                               "' does not exist, or has ended");
  }
  THAW_CO_TRY(const pb::CommandRouterAccess access, router_access(cx, call, who, box->record));
  pb::SandboxGetCommandRouterAccessResponse reply;
  reply.set_jwt(access.jwt());
  reply.set_url(access.url());
  co_return reply;
}

Task<pb::TaskGetCommandRouterAccessResponse> access_first(
    Context& cx, net::GrpcCall& call, pb::TaskGetCommandRouterAccessRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const control::BoxPtr box = box_of_container(cx, who, request.task_id());
  if (!box) {
    THAW_CO_TRY([[maybe_unused]] const auto spec, find_container(cx, who, request.task_id()));
    co_return Error::unimplemented(
        "processes in the containers of functions are not served by this version of Thaw; those "
        "in sandboxes are");
  }
  THAW_CO_TRY(const pb::CommandRouterAccess access, router_access(cx, call, who, box->record));
  pb::TaskGetCommandRouterAccessResponse reply;
  reply.set_jwt(access.jwt());
  reply.set_url(access.url());
  co_return reply;
}

Task<pb::SandboxGetTunnelsResponse> tunnels(Context& cx, net::GrpcCall& call,
                                            pb::SandboxGetTunnelsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  pb::SandboxGetTunnelsResponse reply;
  if (found.box && !found.now().has_ended()) {
    const WebAddresses addresses = addresses_for(cx, call);
    THAW_CO_TRY_VOID(open_ports(cx, addresses, found.box));
    tell_tunnels(cx, addresses, found.box, *reply.mutable_tunnels());
  }
  co_return reply;
}

// --- its program's streams, as clients of the first generation read and write them ---

// An entry's id is the place in the stream behind it. Clients begin with nothing or with "0-0".
Result<std::uint64_t> place_of(const std::string& entry) {
  if (entry.empty() || entry == "0-0") {
    return std::uint64_t{0};
  }
  if (entry.size() > 19 || entry.find_first_not_of("0123456789") != std::string::npos) {
    return Error::invalid_argument("last_entry_id is none that this server gave");
  }
  return std::stoull(entry);
}

Task<void> logs(Context& cx, net::GrpcCall& call, pb::SandboxGetLogsRequest request,
                net::Sink<pb::TaskLogsBatch> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  THAW_CO_TRY(std::uint64_t place, place_of(request.last_entry_id()));
  const Instant until = poll_deadline(request.timeout(), longest_wait);
  pb::TaskLogsBatch batch;
  batch.set_entry_id(std::to_string(place));
  if (!found.box) {
    batch.set_eof(true);
    co_return co_await sink.write(batch);
  }
  const control::BoxProcessPtr main = found.box->main;
  control::KeptOutput& output =
      request.file_descriptor() == pb::FILE_DESCRIPTOR_STDERR ? main->error() : main->out();
  while (true) {
    THAW_CO_TRY(control::KeptOutput::Piece piece,
                co_await output.read_text(place, piece_bytes, until));
    if (piece.is_end) {
      batch.clear_items();
      batch.set_eof(true);
      co_return co_await sink.write(batch);
    }
    if (piece.bytes.empty()) {
      co_return ok();  // it asks again
    }
    place = piece.offset + piece.bytes.size();
    batch.clear_items();
    pb::TaskLogs* item = batch.add_items();
    item->set_file_descriptor(request.file_descriptor());
    item->set_data(codec::valid_utf8(std::move(piece.bytes)));
    item->set_timestamp(to_seconds(wall_now()));
    batch.set_task_id(found.now().container.str());
    batch.set_entry_id(std::to_string(place));
    THAW_CO_TRY_VOID(co_await sink.write(batch));
  }
}

Task<pb::SandboxStdinWriteResponse> write_input(Context& cx, net::GrpcCall& call,
                                                pb::SandboxStdinWriteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const FoundBox found, find_box(cx, who, request.sandbox_id()));
  if (!found.box || found.now().has_ended()) {
    co_return Error::failed_precondition("sandbox '" + request.sandbox_id() + "' has ended");
  }
  const control::BoxProcessPtr main = found.box->main;
  THAW_CO_TRY_VOID(co_await main->append(request.index(), request.input(), request.eof()));
  found.box->last_use = monotonic_now();
  co_return pb::SandboxStdinWriteResponse();
}

}  // namespace

void add_sandbox_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "SandboxCreateV2", create_second);
  add_once(table, cx, "SandboxCreate", create_first);
  add(table, cx, "SandboxGetCommandRouterAccess", access_second);
  add(table, cx, "TaskGetCommandRouterAccess", access_first);
  for (const char* suffix : {"", "V2"}) {
    const auto named = [suffix](const char* name) { return std::string(name) + suffix; };
    add(table, cx, named("SandboxWait"), wait);
    add(table, cx, named("SandboxTerminate"), terminate);
    add(table, cx, named("SandboxGetTaskId"), task_id);
    add(table, cx, named("SandboxGetFromName"), from_name);
    add(table, cx, named("SandboxList"), list);
    add(table, cx, named("SandboxTagsGet"), get_tags);
    add(table, cx, named("SandboxTagsSet"), set_tags);
    add(table, cx, named("SandboxGetTunnels"), tunnels);
  }
  add_stream(table, cx, "SandboxGetLogs", logs);
  add(table, cx, "SandboxStdinWrite", write_input);
}

}  // namespace thaw::dialect::modal
