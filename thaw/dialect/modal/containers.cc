// SPDX-License-Identifier: Apache-2.0
// The container's side: hello, heartbeats, inputs, outputs, its own failures; and containers as
// people see them.
#include <algorithm>

#include "thaw/base/log.h"
#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/older_clients.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/sandbox_definition.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// A container whose results nobody takes waits so long with each before it is dropped.
constexpr Duration room_wait = 20s;

Task<Empty> hello(Context& cx, net::GrpcCall& call, Empty) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  cx.fleet->said_hello(id);
  co_return Empty();
}

// Whether its client does not say when an input has ended that was cancelled.
bool is_silent(const net::GrpcCall& call) {
  const auto version =
      parse_client_version(call.metadata().find("x-modal-client-version").value_or(""));
  return version && *version < answers_cancels_since;
}

Task<pb::ContainerHeartbeatResponse> heartbeat(Context& cx, net::GrpcCall& call,
                                               pb::ContainerHeartbeatRequest) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  // Held while the container works, so that a cancellation arrives at once, but not as long as the
  // client waits. That of an idle container must not keep it from being frozen.
  const Instant now = monotonic_now();
  const Duration patience = std::min<Duration>(12s, (call.deadline() - now) / 5 * 4);
  THAW_CO_TRY(const std::vector<model::InputId> cancels,
              co_await cx.fleet->wait_for_cancels(id, now + patience));
  pb::ContainerHeartbeatResponse reply;
  for (const model::InputId& input : cancels) {
    reply.mutable_cancel_input_event()->add_input_ids(input.str());
  }
  if (!cancels.empty() && is_silent(call)) {
    // Of containers that have gone.
    std::erase_if(cx.unanswered_cancels,
                  [&cx](const auto& entry) { return !cx.fleet->spec_of(entry.first); });
    auto& told = cx.unanswered_cancels[id];
    told.insert(told.end(), cancels.begin(), cancels.end());
  }
  co_return reply;
}

// It asks for the next input: what it was told to cancel has ended.
Task<void> end_cancelled(Context& cx, model::ContainerId id) {
  auto told = cx.unanswered_cancels.extract(id);
  if (told.empty()) {
    co_return ok();
  }
  std::vector<model::InputId> left = std::move(told.mapped());
  while (!left.empty()) {
    const Result<void> ended = co_await cx.fleet->finish(
        id, left.back(),
        model::failed(model::OutcomeKind::terminated, {.type = model::failure_type::cancelled,
                                                       .message = "the input was cancelled"}));
    if (!ended && ended.error().code() != Code::not_found) {
      auto& again = cx.unanswered_cancels[id];  // with its next question
      again.insert(again.end(), left.begin(), left.end());
      co_return ended.error();
    }
    left.pop_back();
  }
  co_return ok();
}

Task<pb::FunctionGetInputsResponse> get_inputs(Context& cx, net::GrpcCall& call,
                                               pb::FunctionGetInputsRequest request) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  THAW_CO_TRY_VOID(co_await end_cancelled(cx, id));
  control::PollOptions options;
  options.max = std::max(1u, request.batch_max_size());
  options.linger = std::chrono::milliseconds(
      request.batch_max_size() > 1 ? std::min<std::uint64_t>(request.batch_linger_ms(), 600'000)
                                   : 0);
  options.hold_until = monotonic_now() + 45s;
  THAW_CO_TRY(control::Poll poll, co_await cx.fleet->next_inputs(id, options));
  pb::FunctionGetInputsResponse reply;
  if (poll.stop) {
    reply.add_inputs()->set_kill_switch(true);
  }
  for (queue::LeasedInput& lease : poll.inputs) {
    auto* item = reply.add_inputs();
    if (!is_of(lease.payload, input_type) || !item->ParseFromString(lease.payload.bytes)) {
      co_return Error::data_loss("the stored input " + lease.input.str() +
                                 " is damaged, or no input of this dialect");
    }
    item->set_input_id(lease.input.str());
    item->set_function_call_id(lease.call.str());
    item->set_retry_count(static_cast<std::uint32_t>(std::max(0, lease.attempt - 1)));
    item->set_function_map_idx(lease.index);
  }
  co_return reply;
}

Task<Empty> put_outputs(Context& cx, net::GrpcCall& call, pb::FunctionPutOutputsRequest request) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  for (const auto& item : request.outputs()) {
    const model::InputId input(item.input_id());
    model::Outcome outcome = outcome_of(item, id);
    const Result<void> room = co_await cx.parts.queue.wait_for_room(
        input, id, outcome.payload.size(), monotonic_now() + room_wait);
    if (!room && room.error().code() == Code::resource_exhausted) {
      outcome =
          model::failed(model::OutcomeKind::failure, {.type = model::failure_type::result_not_kept,
                                                      .message = room.error().message(),
                                                      .retryable = true});
    } else if (!room) {
      co_return room.error();
    }
    THAW_CO_TRY_VOID(co_await cx.fleet->finish(id, input, std::move(outcome)));
  }
  co_return Empty();
}

// A container at its snapshot point. The answer lets the client close its connection; it is
// checkpointed when that is gone.
Task<Empty> checkpoint(Context& cx, net::GrpcCall& call, pb::ContainerCheckpointRequest) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  cx.fleet->reached_snapshot_point(id);
  co_return Empty();
}

// A failure outside of any input: import, enter hooks, exit hooks.
Task<Empty> task_result(Context& cx, net::GrpcCall& call, pb::TaskResultRequest request) {
  THAW_CO_TRY(const model::ContainerId id, container_of(cx, call));
  const pb::GenericResult& result = request.result();
  if (result.status() == pb::GenericResult::GENERIC_STATUS_UNSPECIFIED ||
      result.status() == pb::GenericResult::GENERIC_STATUS_SUCCESS) {
    co_return Empty();
  }
  // The caller gets the traceback of the container's own start.
  cx.fleet->start_failed(id, outcome_of(result));
  co_return Empty();
}

Task<pb::TaskListResponse> task_list(Context& cx, net::GrpcCall& call,
                                     pb::TaskListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const catalog::Scope scope = scope_of(cx, who);
  pb::TaskListResponse reply;
  for (const control::ContainerView& view : cx.fleet->containers()) {
    const bool wanted = request.app_id().empty() || request.app_id() == view.spec->app.str();
    const auto app = scope.app(view.spec->app.str());
    if (!wanted || !app || view.stands_by) {
      continue;  // it is nobody's yet
    }
    auto* item = reply.add_tasks();
    item->set_task_id(view.id.str());
    item->set_app_id(view.spec->app.str());
    item->set_app_description(app->title());
    item->set_enqueued_at(to_seconds(view.created_at));
    item->set_started_at(view.moments.sandbox == Instant{} ? 0.0 : to_seconds(view.created_at));
  }
  for (const control::BoxPtr& box : cx.parts.boxes.living()) {
    const model::Box& record = box->record;
    const bool wanted = request.app_id().empty() || request.app_id() == record.app.str();
    const auto app = scope.app(record.app.str());
    if (!wanted || !app) {
      continue;
    }
    auto* item = reply.add_tasks();
    item->set_task_id(record.container.str());
    item->set_app_id(record.app.str());
    item->set_app_description(app->title());
    item->set_enqueued_at(unix_seconds(record.created_at));
    item->set_started_at(unix_seconds(record.started_at));
  }
  co_return reply;
}

// Of one that lives or has ended of late.
std::optional<control::ContainerView> find_view(Context& cx, const gateway::Identity& who,
                                                const std::string& id) {
  const catalog::Scope scope = scope_of(cx, who);
  for (const bool has_ended : {false, true}) {
    for (control::ContainerView& view :
         has_ended ? cx.fleet->finished_starts() : cx.fleet->containers()) {
      if (view.id.str() == id && scope.covers(view.spec->workspace, view.spec->environment)) {
        return std::move(view);
      }
    }
  }
  return std::nullopt;
}

Task<pb::ContainerStopResponse> container_stop(Context& cx, net::GrpcCall& call,
                                               pb::ContainerStopRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (const control::BoxPtr box = box_of_container(cx, who, request.task_id())) {
    THAW_CO_TRY_VOID(co_await cx.parts.boxes.terminate(box, model::BoxEnd::terminated,
                                                       "its container was stopped"));
    co_return pb::ContainerStopResponse();
  }
  const model::ContainerId id =
      request.task_id().empty() ? who.container : model::ContainerId(request.task_id());
  const auto view = find_view(cx, who, id.str());
  if (view && view->status == control::Status::stopped) {
    co_return pb::ContainerStopResponse();  // who stops many meets some that have just ended
  }
  THAW_CO_TRY([[maybe_unused]] const auto spec, find_container(cx, who, id.str()));
  THAW_CO_TRY_VOID(cx.fleet->stop_container(
      id, request.graceful() ? control::Fleet::StopHow::graceful : control::Fleet::StopHow::now));
  co_return pb::ContainerStopResponse();
}

Task<pb::TaskGetInfoResponse> task_info(Context& cx, net::GrpcCall& call,
                                        pb::TaskGetInfoRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  if (const control::BoxPtr box = box_of_container(cx, who, request.task_id())) {
    const model::Box& record = box->record;
    pb::TaskGetInfoResponse reply;
    reply.set_app_id(record.app.str());
    reply.mutable_info()->set_id(record.container.str());
    reply.mutable_info()->set_sandbox_id(record.id.str());
    reply.mutable_info()->set_enqueued_at(unix_seconds(record.created_at));
    reply.mutable_info()->set_started_at(unix_seconds(record.started_at));
    reply.mutable_info()->set_finished_at(unix_seconds(record.ended_at));
    co_return reply;
  }
  if (const auto view = find_view(cx, who, request.task_id())) {
    pb::TaskGetInfoResponse reply;
    reply.set_app_id(view->spec->app.str());
    reply.mutable_info()->set_id(view->id.str());
    reply.mutable_info()->set_enqueued_at(to_seconds(view->created_at));
    reply.mutable_info()->set_started_at(to_seconds(view->created_at));
    if (view->status == control::Status::stopped) {
      reply.mutable_info()->set_finished_at(to_seconds(view->created_at) + to_seconds(view->lived));
    }
    co_return reply;
  }
  co_return Error::not_found("container '" + request.task_id() + "' does not exist");
}

}  // namespace

void add_container_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "ContainerHello", hello);
  add(table, cx, "ContainerCheckpoint", checkpoint);
  add(table, cx, "ContainerHeartbeat", heartbeat);
  add(table, cx, "FunctionGetInputs", get_inputs);
  add(table, cx, "FunctionPutOutputs", put_outputs);
  add(table, cx, "TaskResult", task_result);
  add(table, cx, "TaskList", task_list);
  add(table, cx, "ContainerStop", container_stop);
  add(table, cx, "TaskGetInfo", task_info);
}

}  // namespace thaw::dialect::modal
