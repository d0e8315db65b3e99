// SPDX-License-Identifier: Apache-2.0
// The caller's side of calls: one input or a map, waiting for outputs, cancelling.
#include "thaw/dialect/modal/calls.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/other_clients.h"
#include "thaw/dialect/modal/output_pace.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr std::size_t outputs_per_answer = 49;  // the client's own batch size
constexpr std::size_t outputs_bytes_per_answer = 16u << 20;
constexpr Duration keep_read_results = 30s;

// Some clients decode this and read `idx`; nothing is trusted from it.
std::string input_jwt(const model::InputId& input, int index) {
  const codec::Json payload = {{"idx", index}, {"input_id", input.str()}};
  return codec::base64url_encode(R"({"alg":"none"})") + "." +
         codec::base64url_encode(payload.dump()) + "." + codec::base64url_encode("-");
}

// How a call was made, kept with it as two numbers.
struct CallOptions {
  pb::FunctionCallInvocationType invocation = pb::FUNCTION_CALL_INVOCATION_TYPE_UNSPECIFIED;
  pb::FunctionCallType type = pb::FUNCTION_CALL_TYPE_UNSPECIFIED;
};

std::string options_text(const CallOptions& options) {
  return std::to_string(options.invocation) + " " + std::to_string(options.type);
}

CallOptions options_of(const queue::CallInfo& info) {
  const std::string& text = info.call.options;
  int invocation = 0;
  int type = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), invocation);
  if (error == std::errc() && rest < text.data() + text.size()) {
    std::from_chars(rest + 1, text.data() + text.size(), type);
  }
  return {static_cast<pb::FunctionCallInvocationType>(invocation),
          static_cast<pb::FunctionCallType>(type)};
}

std::vector<model::NewInput> inputs_from(
    const google::protobuf::RepeatedPtrField<pb::FunctionPutInputsItem>& items,
    pb::FunctionCallInvocationType invocation) {
  std::vector<model::NewInput> inputs;
  inputs.reserve(static_cast<std::size_t>(items.size()));
  for (const auto& item : items) {
    inputs.push_back({item.idx(), input_payload(item.input(), invocation)});
  }
  return inputs;
}

template <class Reply>
void add_items(Reply& items, const std::vector<model::InputId>& ids,
               const google::protobuf::RepeatedPtrField<pb::FunctionPutInputsItem>& asked) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    auto* item = items.Add();
    item->set_idx(asked[static_cast<int>(i)].idx());
    item->set_input_id(ids[i].str());
    item->set_input_jwt(input_jwt(ids[i], item->idx()));
  }
}

// A client that asks again, after a lost connection or a restart of the server, has the same key:
// so the id follows from it, and the call is there already.
model::CallId call_id_for(Context& cx, const net::GrpcCall& call, const gateway::Identity& who,
                          const model::FunctionId& function) {
  const auto key = call.metadata().find("x-idempotency-key");
  if (!key || key->empty()) {
    return model::CallId(codec::random_id("fc"));
  }
  const std::string asked = who.workspace.str() + " " + who.container.str() + " " + function.str() +
                            " " + std::string(*key);
  const auto digest = codec::hex_decode(cx.parts.secrets.sign("idempotent call", asked));
  return model::CallId(codec::derived_id("fc", digest.value_or(std::string())));
}

// A call that was acknowledged, or is on disk though nobody was told, is not made a second time.
Task<std::vector<model::InputId>> create_once(Context& cx, gateway::Identity who,
                                              model::NewCall fresh,
                                              const pb::FunctionMapRequest& request) {
  const auto& asked = request.pipelined_inputs();
  const auto invocation = request.function_call_invocation_type();
  const model::CallId id = fresh.id;
  auto created = co_await cx.parts.queue.create(std::move(fresh), inputs_from(asked, invocation));
  if (created || created.error().code() != Code::already_exists) {
    co_return created;
  }
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, std::move(who), id.str()));
  co_return co_await cx.parts.queue.add_inputs(info.call.id, inputs_from(asked, invocation));
}

// The input that a container says it makes a call for, if it has it.
model::InputId parent_of(Context& cx, const gateway::Identity& who, const std::string& named) {
  const model::InputId input(named);
  if (named.empty() || who.container.empty()) {
    return {};
  }
  const auto call = cx.parts.queue.call_of(input);
  return call && cx.parts.queue.works_on(who.container, *call) ? input : model::InputId();
}

Task<pb::FunctionMapResponse> function_map(Context& cx, net::GrpcCall& call,
                                           pb::FunctionMapRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  THAW_CO_TRY(const auto spec, live_spec(*function));
  const auto app = scope_of(cx, who).app(function->app.str());
  if (!app || app->state == model::AppState::stopped) {
    co_return Error::failed_precondition("app '" + function->app.str() + "' was stopped");
  }
  const auto invocation = request.function_call_invocation_type();
  const bool durable = invocation == pb::FUNCTION_CALL_INVOCATION_TYPE_ASYNC ||
                       invocation == pb::FUNCTION_CALL_INVOCATION_TYPE_ASYNC_LEGACY;
  model::NewCall fresh = gateway::Invoke::new_call({function->id, spec});
  fresh.id = call_id_for(cx, call, who, function->id);
  fresh.durability = durable ? model::Durability::durable : model::Durability::memory;
  fresh.parent_input = parent_of(cx, who, request.parent_input_id());
  fresh.origin = who.container.empty() ? model::Origin::client : model::Origin::container;
  fresh.token = who.token;
  fresh.options = options_text({invocation, request.function_call_type()});
  pb::FunctionMapResponse reply;
  reply.set_function_call_id(fresh.id.str());
  reply.set_function_call_jwt(input_jwt(model::InputId(fresh.id.str()), 0));
  reply.set_max_inputs_outstanding(1000);
  cx.parts.call_trees.note(fresh, function->tag);
  THAW_CO_TRY(const std::vector<model::InputId> ids,
              co_await create_once(cx, who, std::move(fresh), request));
  add_items(*reply.mutable_pipelined_inputs(), ids, request.pipelined_inputs());
  if (invocation == pb::FUNCTION_CALL_INVOCATION_TYPE_SYNC_LEGACY) {  // of generators only
    cx.readers.expect(model::CallId(reply.function_call_id()));
  }
  co_return reply;
}

Task<pb::FunctionPutInputsResponse> put_inputs(Context& cx, net::GrpcCall& call,
                                               pb::FunctionPutInputsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  std::vector<model::NewInput> inputs = inputs_from(request.inputs(), options_of(info).invocation);
  THAW_CO_TRY(const std::vector<model::InputId> ids,
              co_await cx.parts.queue.add_inputs(info.call.id, std::move(inputs)));
  pb::FunctionPutInputsResponse reply;
  add_items(*reply.mutable_inputs(), ids, request.inputs());
  co_return reply;
}

Task<Empty> finish_inputs(Context& cx, net::GrpcCall& call,
                          pb::FunctionFinishInputsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY([[maybe_unused]] const queue::CallInfo info,
              co_await find_call(cx, who, request.function_call_id()));
  co_return Empty();
}

// Outputs of a map that come one after another travel together, but for the first.
constexpr Duration outputs_linger = 10ms;
constexpr std::size_t outputs_bytes_to_send = 1u << 20;

Task<void> gather_outputs(Context& cx, queue::CallInfo call,
                          std::function<bool(const model::LogEntry&)> wanted, Instant until,
                          std::vector<model::LogEntry>& entries) {
  std::size_t bytes = 0;
  for (const model::LogEntry& entry : entries) {
    bytes += entry.payload.length();
  }
  while (entries.size() < outputs_per_answer && bytes < outputs_bytes_to_send &&
         monotonic_now() < until) {
    // all workspaces: found by its caller
    THAW_CO_TRY(const queue::CallInfo now, co_await cx.parts.queue.info(call.call.id));
    const queue::Demand demand = cx.parts.queue.demand(call.call.function);
    const OutputPace pace{now.unfinished, demand.ready, demand.leased,
                          cx.fleet->call_time_of(call.call.function)};
    if (!comes_soon(pace, outputs_linger)) {
      co_return ok();
    }
    THAW_CO_TRY(std::vector<model::LogEntry> more,
                co_await cx.parts.queue.read(call.call.id, entries.back().number,
                                             outputs_per_answer - entries.size(), until, wanted,
                                             queue::WhenIdle::returns));
    if (more.empty()) {
      co_return ok();
    }
    for (model::LogEntry& entry : more) {
      bytes += entry.payload.length();
      entries.push_back(std::move(entry));
    }
  }
  co_return ok();
}

// Gets the entry its whole payload. One whose blob is gone is a failure from then on, which says
// so.
Task<void> bring_payload(Context& cx, model::WorkspaceId workspace, model::LogEntry& entry) {
  if (!entry.payload.rest || !is_of(entry.payload, output_type)) {
    co_return ok();
  }
  auto whole = co_await cx.parts.queue.payloads().whole(std::move(workspace), entry.payload,
                                                        most_stored_bytes);
  if (!whole && whole.error().code() != Code::data_loss &&
      whole.error().code() != Code::resource_exhausted) {
    co_return whole.error();
  }
  if (whole) {
    entry.payload = std::move(*whole);
    co_return ok();
  }
  entry.payload = {};
  entry.outcome = model::OutcomeKind::failure;
  entry.failure = std::make_shared<const model::Failure>(model::Failure{
      .type = model::failure_type::result_not_kept, .message = whole.error().message()});
  co_return ok();
}

Task<pb::FunctionGetOutputsResponse> get_outputs(Context& cx, net::GrpcCall& call,
                                                 pb::FunctionGetOutputsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo before,
              co_await find_call(cx, who, request.function_call_id()));
  const std::uint64_t after = entry_number(request.last_entry_id());
  Readers::Visit visit(cx.readers, before.call.id);
  const bool in_memory = before.call.durability == model::Durability::memory;
  if (in_memory && after > 0 && options_of(before).type == pb::FUNCTION_CALL_TYPE_MAP) {
    cx.parts.queue.take(before.call.id, after);  // it has them: it says so
  }
  const int first = request.has_start_idx() ? request.start_idx() : 0;
  const int last = request.has_end_idx() ? request.end_idx() : std::numeric_limits<int>::max();
  std::function<bool(const model::LogEntry&)> wanted = [first, last](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_ && entry.index >= first &&
           entry.index <= last;
  };
  const Instant deadline = poll_deadline(request.timeout(), 55s);
  // The caller of a map knows when it has sent its last input; until then a pause is no end.
  const bool is_map = options_of(before).type == pb::FUNCTION_CALL_TYPE_MAP;
  const auto when_idle = is_map ? queue::WhenIdle::waits : queue::WhenIdle::returns;
  THAW_CO_TRY(std::vector<model::LogEntry> entries,
              co_await cx.parts.queue.read(before.call.id, after, outputs_per_answer, deadline,
                                           wanted, when_idle));
  if (is_map && after > 0 && !entries.empty()) {
    const Instant until = std::min(deadline, monotonic_now() + outputs_linger);
    THAW_CO_TRY_VOID(co_await gather_outputs(cx, before, std::move(wanted), until, entries));
  }
  pb::FunctionGetOutputsResponse reply;
  reply.set_last_entry_id(request.last_entry_id().empty() ? "0-0" : request.last_entry_id());
  std::size_t bytes = 0;
  for (model::LogEntry& entry : entries) {
    bytes += entry.payload.length();
    if (bytes > outputs_bytes_per_answer && reply.outputs_size() > 0) {
      break;
    }
    THAW_CO_TRY_VOID(co_await bring_payload(cx, before.call.workspace, entry));
    auto* item = reply.add_outputs();
    auto output = output_of(entry);
    if (!output) {
      co_return output.error();
    }
    *item = std::move(*output);
    if (item->result().status() == pb::GenericResult::GENERIC_STATUS_INTERNAL_FAILURE &&
        is_other_client(call.metadata())) {
      // They ask for another try of it, whatever they were told, and tell their caller of that
      // only. The server has made its tries: what is left is a failure, and why.
      item->mutable_result()->set_status(pb::GenericResult::GENERIC_STATUS_FAILURE);
    }
    item->set_idx(entry.index);
    item->set_input_id(entry.input.str());
    item->set_task_id(entry.container.str());
    // The server retries; a client that saw another count would drop the output as outdated.
    item->set_retry_count(0);
    reply.add_idxs(entry.index);
    reply.set_last_entry_id(std::to_string(entry.number) + "-0");
  }
  // all workspaces: found above
  THAW_CO_TRY(const queue::CallInfo info, co_await cx.parts.queue.info(before.call.id));
  reply.set_num_unfinished_inputs(info.unfinished);
  visit.will_come_again();
  if (info.unfinished == 0) {
    cx.readers.forget(info.call.id);
  }
  if (request.clear_on_success() && info.unfinished == 0 && reply.outputs_size() > 0 &&
      info.call.durability == model::Durability::memory) {
    // Not at once: an answer that is lost on the way is asked for again.
    cx.to_forget.emplace_back(monotonic_now() + keep_read_results, info.call.id);
  }
  co_return reply;
}

Task<pb::FunctionCallFromIdResponse> from_id(Context& cx, net::GrpcCall& call,
                                             pb::FunctionCallFromIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  pb::FunctionCallFromIdResponse reply;
  reply.set_function_call_id(info.call.id.str());
  reply.set_num_inputs(info.inputs);
  reply.mutable_metadata()->set_app_id(info.call.app.str());
  reply.mutable_metadata()->set_function_id(info.call.function.str());
  co_return reply;
}

Task<Empty> cancel(Context& cx, net::GrpcCall& call, pb::FunctionCallCancelRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  THAW_CO_TRY_VOID(co_await cx.parts.invoke.cancel(
      info.call.id, request.terminate_containers() ? control::Fleet::StopHow::now
                                                   : control::Fleet::StopHow::graceful));
  co_return Empty();
}

Task<pb::FunctionCallGetInfoResponse> get_info(Context& cx, net::GrpcCall& call,
                                               pb::FunctionCallGetInfoRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  pb::FunctionCallGetInfoResponse reply;
  auto* out = reply.mutable_info();
  out->set_function_call_id(info.call.id.str());
  out->set_created_at(to_seconds(info.created_at));
  out->set_total_inputs(info.inputs);
  out->mutable_pending_inputs()->set_total(info.unfinished);
  int succeeded = info.inputs - info.unfinished;
  std::map<model::OutcomeKind, int> others;
  std::function<bool(const model::LogEntry&)> unsuccessful = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_ &&
           entry.outcome != model::OutcomeKind::success;
  };
  for (std::uint64_t after = 0;;) {
    THAW_CO_TRY(const std::vector<model::LogEntry> entries,
                co_await cx.parts.queue.read(info.call.id, after, outputs_per_answer,
                                             monotonic_now(), unsuccessful));
    if (entries.empty()) {
      break;
    }
    for (const model::LogEntry& entry : entries) {
      after = entry.number;
      ++others[entry.outcome];
      --succeeded;
    }
  }
  out->mutable_succeeded_inputs()->set_total(std::max(succeeded, 0));
  out->mutable_failed_inputs()->set_total(others[model::OutcomeKind::failure] +
                                          others[model::OutcomeKind::internal_failure]);
  out->mutable_timeout_inputs()->set_total(others[model::OutcomeKind::timeout] +
                                           others[model::OutcomeKind::expired]);
  out->mutable_cancelled_inputs()->set_total(others[model::OutcomeKind::terminated]);
  co_return reply;
}

Task<pb::FunctionRetryInputsResponse> retry_inputs(Context&, net::GrpcCall&,
                                                   pb::FunctionRetryInputsRequest) {
  co_return Error::failed_precondition(
      "this server retries inputs itself; FunctionMap said so (sync_client_retries_enabled)");
}

}  // namespace

std::uint64_t entry_number(const std::string& entry_id) {
  std::uint64_t number = 0;
  std::from_chars(entry_id.data(), entry_id.data() + entry_id.size(), number);
  return number;
}

pb::GenericResult::GenericStatus status_of(model::OutcomeKind kind) {
  switch (kind) {
    case model::OutcomeKind::success: return pb::GenericResult::GENERIC_STATUS_SUCCESS;
    case model::OutcomeKind::failure: return pb::GenericResult::GENERIC_STATUS_FAILURE;
    case model::OutcomeKind::timeout:
    case model::OutcomeKind::expired: return pb::GenericResult::GENERIC_STATUS_TIMEOUT;
    case model::OutcomeKind::terminated: return pb::GenericResult::GENERIC_STATUS_TERMINATED;
    case model::OutcomeKind::internal_failure:
      return pb::GenericResult::GENERIC_STATUS_INTERNAL_FAILURE;
  }
  return pb::GenericResult::GENERIC_STATUS_FAILURE;
}

gateway::CallbackCall call_without_arguments(const gateway::Route& route) {
  // What pickle writes for `((), {})`: a pair of no positional and no named arguments.
  static constexpr std::string_view no_arguments = "\x80\x04)}\x86\x94.";
  pb::FunctionInput input;
  input.set_args(std::string(no_arguments));
  input.set_final_input(true);
  input.set_data_format(pb::DATA_FORMAT_PICKLE);
  const auto invocation = pb::FUNCTION_CALL_INVOCATION_TYPE_ASYNC;
  gateway::CallbackCall made;
  made.call = gateway::Invoke::new_call(route);
  made.call.options = options_text({invocation, pb::FUNCTION_CALL_TYPE_UNARY});
  made.inputs.push_back({0, input_payload(input, invocation)});
  return made;
}

model::Payload input_payload(const pb::FunctionInput& input,
                             pb::FunctionCallInvocationType invocation) {
  pb::FunctionGetInputsItem item;
  *item.mutable_input() = input;
  item.set_function_call_invocation_type(invocation);
  return {item.SerializeAsString(), std::string(input_type)};
}

namespace {

model::OutcomeKind kind_of(pb::GenericResult::GenericStatus status) {
  switch (status) {
    case pb::GenericResult::GENERIC_STATUS_SUCCESS: return model::OutcomeKind::success;
    case pb::GenericResult::GENERIC_STATUS_TERMINATED: return model::OutcomeKind::terminated;
    case pb::GenericResult::GENERIC_STATUS_TIMEOUT: return model::OutcomeKind::timeout;
    case pb::GenericResult::GENERIC_STATUS_INTERNAL_FAILURE:
      return model::OutcomeKind::internal_failure;
    default: return model::OutcomeKind::failure;
  }
}

pb::GenericResult platform_result(model::OutcomeKind kind, const model::Failure& failure) {
  pb::GenericResult result;
  result.set_status(status_of(kind));
  result.set_exception(failure.message);
  result.set_traceback(failure.trace);
  return result;
}

}  // namespace

Result<pb::FunctionGetOutputsItem> output_of(const model::Outcome& outcome, WallTime at) {
  pb::FunctionGetOutputsItem item;
  if (is_of(outcome.payload, output_type)) {
    if (!item.ParseFromString(outcome.payload.bytes)) {
      return Error::data_loss("a stored output is damaged");
    }
    return item;
  }
  model::Failure failure;
  if (outcome.failure) {
    failure = *outcome.failure;
  } else if (outcome.payload.empty()) {
    failure.message =
        "the result is not kept any more: it was read before, or nobody took the results of this "
        "function for too long";
  } else {
    failure.message = "the result is of the type " + outcome.payload.content_type +
                      ", which this client cannot read; ask for it as the call was made";
  }
  *item.mutable_result() = platform_result(outcome.kind, failure);
  item.set_output_created_at(to_seconds(at));
  return item;
}

Result<pb::FunctionGetOutputsItem> output_of(const model::LogEntry& entry) {
  return output_of({entry.outcome, entry.payload, entry.failure}, entry.at);
}

model::Outcome outcome_of(const pb::GenericResult& failure) {
  pb::FunctionGetOutputsItem item;
  *item.mutable_result() = failure;
  item.set_output_created_at(to_seconds(wall_now()));
  return {kind_of(failure.status()), {item.SerializeAsString(), std::string(output_type)}, nullptr};
}

model::Outcome outcome_of(const pb::FunctionPutOutputsItem& item, const model::ContainerId& id) {
  pb::FunctionGetOutputsItem out;
  *out.mutable_result() = item.result();
  if (out.result().status() == pb::GenericResult::GENERIC_STATUS_TERMINATED &&
      out.result().exception().empty()) {
    out.mutable_result()->set_exception("the call was cancelled");  // the container gives no text
  }
  out.set_data_format(item.data_format());
  out.set_input_started_at(item.input_started_at());
  out.set_output_created_at(item.output_created_at());
  out.set_task_id(id.str());
  return {kind_of(item.result().status()),
          {out.SerializeAsString(), std::string(output_type)},
          nullptr};
}

void add_call_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "FunctionMap", function_map);
  add_once(table, cx, "FunctionPutInputs", put_inputs);
  add(table, cx, "FunctionFinishInputs", finish_inputs);
  add(table, cx, "FunctionGetOutputs", get_outputs);
  add(table, cx, "FunctionCallFromId", from_id);
  add(table, cx, "FunctionCallCancel", cancel);
  add(table, cx, "FunctionCallGetInfo", get_info);
  add(table, cx, "FunctionRetryInputs", retry_inputs);
}

}  // namespace thaw::dialect::modal
