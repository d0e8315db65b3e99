// SPDX-License-Identifier: Apache-2.0
// Looking back at calls: the latest of a function, those of a time, and what a call brought about.
#include <algorithm>
#include <map>
#include <optional>
#include <unordered_map>

#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr std::size_t entries_at_once = 100;
constexpr std::size_t calls_at_once = 100;
constexpr std::size_t most_rows = 20'000;
constexpr std::size_t most_calls = 5'000;      // of one function, looked at for one answer
constexpr std::size_t most_of_all = 20'000;    // of it and its variants together
constexpr std::size_t most_functions = 1'000;  // it and its variants

WallTime wall_from(const google::protobuf::Timestamp& time) {
  // Beyond it no call lies, and a sum would not fit.
  constexpr std::int64_t last_s = 253'402'300'799;
  return WallTime(std::chrono::seconds(std::clamp<std::int64_t>(time.seconds(), 0, last_s)) +
                  std::chrono::microseconds(std::clamp(time.nanos(), 0, 999'999'999) / 1'000));
}

void set_time(google::protobuf::Timestamp& out, WallTime time) {
  const auto micros = time.time_since_epoch().count();
  out.set_seconds(micros / 1'000'000);
  out.set_nanos(static_cast<std::int32_t>(micros % 1'000'000 * 1'000));
}

// How an input ended, without what it said.
struct End {
  model::OutcomeKind outcome = model::OutcomeKind::success;
  model::ContainerId container;
  double began_s = 0;  // since the epoch, as its container says; 0: it said nothing
  double ended_s = 0;
};

End end_of(const model::LogEntry& entry) {
  End end{entry.outcome, entry.container};
  if (entry.payload.rest) {
    return end;  // what is large is not fetched for its times
  }
  constexpr double last_s = 1e11;  // what a program says may be anything
  const auto said = output_of(entry);
  if (said && said->input_started_at() > 0 && said->input_started_at() < last_s &&
      said->output_created_at() >= said->input_started_at() && said->output_created_at() < last_s) {
    end.began_s = said->input_started_at();
    end.ended_s = said->output_created_at();
  }
  return end;
}

pb::FunctionCallInputStatus status_of_input(const queue::InputView& view, const End* end) {
  if (end == nullptr) {
    return view.state == queue::InputView::State::running ? pb::FUNCTION_CALL_INPUT_STATUS_RUNNING
                                                          : pb::FUNCTION_CALL_INPUT_STATUS_PENDING;
  }
  switch (end->outcome) {
    case model::OutcomeKind::success: return pb::FUNCTION_CALL_INPUT_STATUS_SUCCESS;
    case model::OutcomeKind::failure: return pb::FUNCTION_CALL_INPUT_STATUS_FAILURE;
    case model::OutcomeKind::timeout:
    case model::OutcomeKind::expired: return pb::FUNCTION_CALL_INPUT_STATUS_TIMEOUT;
    case model::OutcomeKind::terminated: return pb::FUNCTION_CALL_INPUT_STATUS_TERMINATED;
    case model::OutcomeKind::internal_failure:
      return pb::FUNCTION_CALL_INPUT_STATUS_INTERNAL_FAILURE;
  }
  return pb::FUNCTION_CALL_INPUT_STATUS_UNSPECIFIED;
}

pb::FunctionCallInputInfo row_of(const queue::ListedCall& call, const queue::InputView& view,
                                 const End* end) {
  pb::FunctionCallInputInfo row;
  row.set_function_call_id(call.id.str());
  set_time(*row.mutable_enqueued_at(), view.enqueued_at);
  row.set_status(status_of_input(view, end));
  const model::ContainerId& container = end == nullptr ? view.container : end->container;
  if (!container.empty()) {
    row.set_container_id(container.str());
  }
  if (end != nullptr && end->began_s > 0) {
    const auto micros = static_cast<std::int64_t>(end->began_s * 1e6);
    set_time(*row.mutable_started_at(), WallTime(std::chrono::microseconds(micros)));
    row.set_execution_time_seconds(end->ended_s - end->began_s);
  }
  return row;
}

// The newest `most` calls of one function in a time. resource_exhausted: to be all, they are too
// many for one answer.
enum class Wanted { newest, all };
Task<std::vector<queue::ListedCall>> calls_of(Context& cx, queue::CallFilter filter,
                                              std::size_t most, Wanted wanted) {
  std::vector<queue::ListedCall> calls;
  std::string cursor;
  do {
    THAW_CO_TRY(queue::CallPage page, co_await cx.parts.queue.list(filter, cursor, calls_at_once));
    for (queue::ListedCall& call : page.calls) {
      if (calls.size() < most) {
        calls.push_back(std::move(call));
      } else if (wanted == Wanted::newest) {
        co_return calls;
      } else {
        co_return Error::resource_exhausted("there are more than " + std::to_string(most) +
                                            " calls in that time; ask for a shorter one");
      }
    }
    cursor = page.next;
  } while (!cursor.empty() && (calls.size() < most || wanted == Wanted::all));
  co_return calls;
}

queue::CallFilter filter_of(const catalog::Function& function, const model::FunctionId& id) {
  queue::CallFilter filter;
  filter.workspace = function.workspace;
  filter.function = id;
  return filter;
}

using Rows = std::vector<pb::FunctionCallInputInfo>;

// One that is forgotten meanwhile has no rows.
Task<void> add_rows(Context& cx, queue::ListedCall call, std::size_t most, Rows& rows) {
  const auto views = co_await cx.parts.queue.inputs(call.id, 0, most);
  if (!views) {
    co_return views.error().code() == Code::not_found ? ok() : Result<void>(views.error());
  }
  std::unordered_map<model::InputId, std::optional<End>> ends;
  std::size_t open = 0;
  for (const queue::InputView& view : *views) {
    ends[view.id] = std::nullopt;
    open += view.state == queue::InputView::State::ended ? 1 : 0;
  }
  const std::function<bool(const model::LogEntry&)> is_final = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  for (std::uint64_t after = 0; open > 0;) {
    const auto entries =
        co_await cx.parts.queue.read(call.id, after, entries_at_once, monotonic_now(), is_final);
    if (!entries || entries->empty()) {
      break;
    }
    // What is in memory is read without a wait: others have their turn between two pages.
    THAW_CO_TRY_VOID(co_await async::yield());
    after = entries->back().number;
    for (const model::LogEntry& entry : *entries) {
      if (const auto place = ends.find(entry.input); place != ends.end()) {
        place->second = end_of(entry);
        open -= std::min<std::size_t>(open, 1);
      }
    }
  }
  for (const queue::InputView& view : *views) {
    const std::optional<End>& end = ends.at(view.id);
    rows.push_back(row_of(call, view, end ? &*end : nullptr));
  }
  co_return ok();
}

// The newest `most` of them, the newest first.
void keep_newest(Rows& rows, std::size_t most) {
  const auto at = [](const pb::FunctionCallInputInfo& row) {
    return std::pair(row.enqueued_at().seconds(), row.enqueued_at().nanos());
  };
  std::stable_sort(rows.begin(), rows.end(),
                   [&](const auto& a, const auto& b) { return at(b) < at(a); });
  if (rows.size() > most) {
    rows.resize(most);
  }
}

Error too_many(const catalog::Function& function, const std::string& what) {
  return Error::resource_exhausted("function '" + function.tag + "' and its variants have " + what +
                                   ", too many for one answer; ask for less of them");
}

Result<std::vector<model::FunctionId>> with_variants(const Context& cx,
                                                     const gateway::Identity& who,
                                                     const catalog::Function& function, bool all) {
  std::vector<model::FunctionId> ids{function.id};
  if (all) {
    for (const auto& one : scope_of(cx, who).functions_of(function.app)) {
      if (one->base == function.id) {
        ids.push_back(one->id);
      }
    }
  }
  if (ids.size() > most_functions) {
    return too_many(function, "more than " + std::to_string(most_functions) + " members");
  }
  return ids;
}

Task<pb::FunctionCallFetchResponse> fetch(Context& cx, net::GrpcCall& call,
                                          pb::FunctionCallFetchRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  const bool is_range = request.has_range();
  const std::uint32_t asked = is_range ? request.range().limit() : request.tail().count();
  const std::size_t most =
      is_range && asked == 0 ? most_rows : std::min<std::size_t>(asked, most_rows);
  constexpr std::size_t row_bytes = 200;
  THAW_CO_TRY_VOID(co_await call.reserve_reply(most * row_bytes));
  Rows rows;
  THAW_CO_TRY(const std::vector<model::FunctionId> ids,
              with_variants(cx, who, *function, request.all_variants()));
  std::size_t looked_at = 0;
  for (const model::FunctionId& id : ids) {
    queue::CallFilter filter = filter_of(*function, id);
    if (is_range) {
      filter.from = wall_from(request.range().since());
      filter.until = request.range().has_until() ? wall_from(request.range().until()) : wall_now();
    }
    THAW_CO_TRY(
        const std::vector<queue::ListedCall> calls,
        co_await calls_of(cx, std::move(filter), is_range ? most_calls : std::min(most, most_calls),
                          is_range ? Wanted::all : Wanted::newest));
    looked_at += calls.size();
    if (looked_at > most_of_all) {
      co_return too_many(*function, "more than " + std::to_string(most_of_all) + " calls");
    }
    const std::size_t before = rows.size();
    for (const queue::ListedCall& one : calls) {
      if (rows.size() - before >= most) {
        break;
      }
      THAW_CO_TRY_VOID(co_await async::yield());
      THAW_CO_TRY_VOID(co_await add_rows(cx, one, most - (rows.size() - before), rows));
    }
    keep_newest(rows, most);
  }
  if (request.has_range()) {
    std::reverse(rows.begin(), rows.end());  // the oldest first
  }
  pb::FunctionCallFetchResponse reply;
  for (pb::FunctionCallInputInfo& row : rows) {
    *reply.add_function_call_inputs() = std::move(row);
  }
  co_return reply;
}

Task<pb::FunctionCallCountResponse> count(Context& cx, net::GrpcCall& call,
                                          pb::FunctionCallCountRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto function, find_function(cx, who, request.function_id()));
  const std::int64_t width = std::max<std::int64_t>(1, request.bucket_secs());
  std::map<std::int64_t, std::uint64_t> buckets;
  THAW_CO_TRY(const std::vector<model::FunctionId> ids,
              with_variants(cx, who, *function, request.all_variants()));
  std::size_t looked_at = 0;
  for (const model::FunctionId& id : ids) {
    queue::CallFilter filter = filter_of(*function, id);
    filter.from = wall_from(request.since());
    filter.until = request.has_until() ? wall_from(request.until()) : wall_now();
    THAW_CO_TRY(const std::vector<queue::ListedCall> calls,
                co_await calls_of(cx, std::move(filter), most_calls, Wanted::all));
    looked_at += calls.size();
    if (looked_at > most_of_all) {
      co_return too_many(*function, "more than " + std::to_string(most_of_all) + " calls");
    }
    for (const queue::ListedCall& one : calls) {
      THAW_CO_TRY_VOID(co_await async::yield());
      // all workspaces: listed as the asker's
      const auto info = co_await cx.parts.queue.info(one.id);
      if (info) {
        const auto at = static_cast<std::int64_t>(to_seconds(one.created_at));
        buckets[at / width * width] += static_cast<std::uint64_t>(info->inputs);
      }
    }
  }
  pb::FunctionCallCountResponse reply;
  for (const auto& [at, inputs] : buckets) {
    auto* bucket = reply.add_buckets();
    bucket->mutable_bucket_start_at()->set_seconds(at);
    bucket->set_count(inputs);
  }
  co_return reply;
}

// The module and the name of a function as its program has them.
pb::Function program_of(Context& cx, const gateway::Identity& who, const model::FunctionId& id) {
  const auto function = scope_of(cx, who).function(id.str());
  const auto live = function ? function->live() : nullptr;
  const auto definition =
      live ? parse_definition(*live) : Result<pb::Function>(Error::not_found("it is not live"));
  return definition ? *definition : pb::Function();
}

Task<pb::FunctionGetCallGraphResponse> call_graph(Context& cx, net::GrpcCall& call,
                                                  pb::FunctionGetCallGraphRequest request) {
  constexpr std::size_t most_inputs = 2'000;
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  const auto function = scope_of(cx, who).function(info.call.function.str());
  THAW_CO_TRY(const gateway::CallTree tree,
              co_await cx.parts.call_trees.tree_of(std::move(info), function ? function->tag : "",
                                                   most_inputs));
  pb::FunctionGetCallGraphResponse reply;
  reply.set_truncated(tree.part == gateway::CallTree::Part::some);
  std::map<model::FunctionId, std::string> modules;
  for (const gateway::TreeCall& one : tree.calls) {
    if (!modules.contains(one.function)) {
      modules[one.function] = program_of(cx, who, one.function).module_name();
    }
    auto* made = reply.add_function_calls();
    made->set_function_call_id(one.id.str());
    made->set_parent_input_id(one.parent.str());
    made->set_function_name(one.name);
    made->set_module_name(modules[one.function]);
    for (const gateway::TreeInput& input : one.inputs) {
      auto* item = reply.add_inputs();
      item->set_input_id(input.id.str());
      item->set_function_call_id(one.id.str());
      item->set_task_id(input.container.str());
      if (input.outcome) {
        item->set_status(status_of(*input.outcome));
      }
    }
  }
  co_return reply;
}

}  // namespace

void add_call_list_rpcs(net::GrpcTable& table, Context& cx) {
  add(table, cx, "FunctionCallFetch", fetch);
  add(table, cx, "FunctionCallCount", count);
  add(table, cx, "FunctionGetCallGraph", call_graph);
}

}  // namespace thaw::dialect::modal
