// SPDX-License-Identifier: Apache-2.0
#include <charconv>

#include "thaw/dialect/modal/named_state.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/state/state_store.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;
using model::ItemQueue;
using state::ItemQueues;

namespace {

constexpr Duration longest_wait = 55s;  // clients ask for 50 at most

ItemQueues& queues_of(Context& cx) { return cx.parts.state.queues(); }

Result<std::shared_ptr<const ItemQueue>> find_queue(Context& cx, const gateway::Identity& who,
                                                    const std::string& id) {
  auto queue = scope_of(cx, who).item_queue(id);
  if (!queue) {
    return Error::not_found("queue '" + id.substr(0, 80) + "' does not exist");
  }
  return queue;
}

Task<pb::QueueGetOrCreateResponse> get_or_create(Context& cx, net::GrpcCall& call,
                                                 pb::QueueGetOrCreateRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  gateway::NamedStates::Wanted wanted{who.workspace, environment, request.deployment_name()};
  THAW_CO_TRY(wanted.making, making_of(request.object_creation_type()));
  if (wanted.making != gateway::NamedStates::Making::ephemeral) {
    THAW_CO_TRY_VOID(check_object_name(wanted.name, "a queue"));
  }
  THAW_CO_TRY(const auto found,
              co_await cx.parts.named_states.item_queue(scope_of(cx, who), std::move(wanted)));
  pb::QueueGetOrCreateResponse reply;
  reply.set_queue_id(found.thing->id.str());
  *reply.mutable_metadata() = metadata_of<pb::QueueMetadata>(*found.thing);
  co_return reply;
}

Task<pb::QueueGetByIdResponse> get_by_id(Context& cx, net::GrpcCall& call,
                                         pb::QueueGetByIdRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  pb::QueueGetByIdResponse reply;
  reply.set_queue_id(queue->id.str());
  *reply.mutable_metadata() = metadata_of<pb::QueueMetadata>(*queue);
  co_return reply;
}

Task<Empty> heartbeat(Context& cx, net::GrpcCall& call, pb::QueueHeartbeatRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  cx.parts.named_states.beat(*queue);
  co_return Empty();
}

Task<pb::QueueListResponse> list(Context& cx, net::GrpcCall& call, pb::QueueListRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto environment, find_environment(cx, who, request.environment_name()));
  pb::QueueListResponse reply;
  reply.set_environment_name(environment->name);
  const std::uint64_t most = request.total_size_limit() > 0
                                 ? static_cast<std::uint64_t>(request.total_size_limit())
                                 : INT32_MAX;
  for (const auto& queue :
       page_of(scope_of(cx, who).item_queues_in(environment->id), request.pagination())) {
    THAW_CO_TRY(const state::QueueSize size,
                co_await queues_of(cx).size_of_all(state::object_of(*queue)));
    auto* item = reply.add_queues();
    item->set_name(queue->name);
    item->set_queue_id(queue->id.str());
    item->set_created_at(unix_seconds(queue->created_at));
    item->set_num_partitions(static_cast<std::int32_t>(size.partitions));
    item->set_total_size(static_cast<std::int32_t>(std::min(size.items, most)));
    *item->mutable_metadata() = metadata_of<pb::QueueMetadata>(*queue);
  }
  co_return reply;
}

Task<Empty> erase(Context& cx, net::GrpcCall& call, pb::QueueDeleteRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  THAW_CO_TRY_VOID(co_await cx.parts.named_states.erase(*queue));
  co_return Empty();
}

Task<Empty> put(Context& cx, net::GrpcCall& call, pb::QueuePutRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  std::vector<std::string> items;
  items.reserve(static_cast<std::size_t>(request.values_size()));
  for (std::string& value : *request.mutable_values()) {
    items.push_back(std::move(value));
  }
  Result<void> stored = co_await queues_of(cx).put(
      state::object_of(*queue), request.partition_key(), std::move(items),
      std::chrono::seconds(request.partition_ttl_seconds()), request_key(call, who));
  if (!stored) {
    co_return as_told(std::move(stored).error());
  }
  co_return Empty();
}

Task<pb::QueueGetResponse> get(Context& cx, net::GrpcCall& call, pb::QueueGetRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  const auto most = static_cast<std::size_t>(std::max(request.n_values(), 1));
  THAW_CO_TRY(
      std::vector<std::string> items,
      co_await queues_of(cx).take(state::object_of(*queue), request.partition_key(), most,
                                  {poll_deadline(request.timeout(), longest_wait), asker_of(who)},
                                  request_key(call, who)));
  pb::QueueGetResponse reply;
  for (std::string& item : items) {
    reply.add_values(std::move(item));
  }
  co_return reply;
}

Task<pb::QueueNextItemsResponse> next_items(Context& cx, net::GrpcCall& call,
                                            pb::QueueNextItemsRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  const std::string& last = request.last_entry_id();
  std::int64_t after = 0;
  const char* const end = last.data() + last.size();
  const auto [rest, failure] = std::from_chars(last.data(), end, after);
  if (!last.empty() && (failure != std::errc() || rest != end || after < 0)) {
    co_return Error::invalid_argument("'" + last.substr(0, 80) +
                                      "' is not the id of an item of a queue");
  }
  THAW_CO_TRY(auto items,
              co_await queues_of(cx).look(
                  state::object_of(*queue), request.partition_key(), after,
                  {poll_deadline(request.item_poll_timeout(), longest_wait), asker_of(who)}));
  pb::QueueNextItemsResponse reply;
  for (state::NumberedItem& item : items) {
    auto* one = reply.add_items();
    one->set_value(std::move(item.value));
    one->set_entry_id(std::to_string(item.number));
  }
  co_return reply;
}

Task<pb::QueueLenResponse> len(Context& cx, net::GrpcCall& call, pb::QueueLenRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  std::uint64_t items = 0;
  if (request.total()) {
    THAW_CO_TRY(const state::QueueSize size,
                co_await queues_of(cx).size_of_all(state::object_of(*queue)));
    items = size.items;
  } else {
    THAW_CO_TRY(items,
                co_await queues_of(cx).size(state::object_of(*queue), request.partition_key()));
  }
  pb::QueueLenResponse reply;
  reply.set_len(static_cast<std::int32_t>(std::min<std::uint64_t>(items, INT32_MAX)));
  co_return reply;
}

Task<Empty> clear(Context& cx, net::GrpcCall& call, pb::QueueClearRequest request) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const auto queue, find_queue(cx, who, request.queue_id()));
  const state::RequestKey key = request_key(call, who);
  if (request.all_partitions()) {
    THAW_CO_TRY_VOID(co_await queues_of(cx).clear_all(state::object_of(*queue), key));
  } else {
    THAW_CO_TRY_VOID(
        co_await queues_of(cx).clear(state::object_of(*queue), request.partition_key(), key));
  }
  co_return Empty();
}

}  // namespace

void add_queue_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "QueueGetOrCreate", get_or_create);
  add(table, cx, "QueueGetById", get_by_id);
  add(table, cx, "QueueHeartbeat", heartbeat);
  add(table, cx, "QueueList", list);
  add_once(table, cx, "QueueDelete", erase);
  // These have their request's key in what is stored. One that waits and is repeated meanwhile is
  // one wait.
  add(table, cx, "QueuePut", put);
  add_once(table, cx, "QueueGet", get);
  add(table, cx, "QueueNextItems", next_items);
  add(table, cx, "QueueLen", len);
  add(table, cx, "QueueClear", clear);
}

}  // namespace thaw::dialect::modal
