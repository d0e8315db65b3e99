// SPDX-License-Identifier: Apache-2.0
// The data streams of a running call: generator items on their way to the caller, and the events of
// web requests both ways.
#include <algorithm>

#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr Duration stream_hold = 55s;

Task<std::string> bytes_of(Context& cx, model::WorkspaceId owner, pb::DataChunk chunk) {
  if (chunk.data_oneof_case() != pb::DataChunk::kDataBlobId) {
    co_return std::move(*chunk.mutable_data());
  }
  constexpr std::size_t prefix = 3;  // "bl-"
  std::string sha = chunk.data_blob_id().substr(std::min(prefix, chunk.data_blob_id().size()));
  co_return co_await cx.parts.blobs.get(owner.str(), std::move(sha));
}

// The caller follows the items of a generator.
Task<void> data_out(Context& cx, net::GrpcCall& call, pb::FunctionCallGetDataRequest request,
                    net::Sink<pb::DataChunk> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const model::CallId id(request.function_call_id());
  THAW_CO_TRY(const queue::CallInfo info, co_await cx.parts.queue.info(id));
  if (info.call.workspace != who.workspace) {
    co_return Error::not_found("function call '" + id.str() + "' does not exist");
  }
  std::uint64_t last = request.last_index();
  std::uint64_t after = 0;
  const Instant until = monotonic_now() + stream_hold;
  std::function<bool(const model::LogEntry&)> wanted = [](const model::LogEntry&) { return true; };
  while (monotonic_now() < until) {
    THAW_CO_TRY(const std::vector<model::LogEntry> entries,
                co_await cx.parts.queue.read(id, after, 100, until, wanted));
    if (entries.empty()) {
      co_return ok();
    }
    for (const model::LogEntry& entry : entries) {
      after = entry.number;
      pb::DataChunk chunk;
      if (entry.kind != model::LogEntry::Kind::chunk) {
        continue;
      }
      if (!chunk.ParseFromString(entry.payload)) {
        co_return Error::data_loss("a stored item of call " + id.str() + " is damaged");
      }
      // Items of an attempt that was repeated come again with the same index.
      if (chunk.index() == last + 1) {
        last = chunk.index();
        THAW_CO_TRY_VOID(co_await sink.write(chunk));
      }
    }
  }
  co_return ok();
}

// The container follows the events of a web request.
Task<void> data_in(Context& cx, net::GrpcCall& call, pb::FunctionCallGetDataRequest request,
                   net::Sink<pb::DataChunk> sink) {
  THAW_CO_TRY([[maybe_unused]] const model::ContainerId container, container_of(cx, call));
  const auto found = cx.web_requests.find(model::CallId(request.function_call_id()));
  if (found == cx.web_requests.end()) {
    co_return Error::not_found("no web request waits for call '" + request.function_call_id() +
                               "'; its client may be gone");
  }
  const std::shared_ptr<WebRequest> web = found->second;
  while (true) {
    THAW_CO_TRY(std::optional<pb::Asgi> event, co_await web->to_container.receive(Instant::max()));
    if (!event) {
      co_return ok();
    }
    pb::DataChunk chunk;
    chunk.set_data_format(pb::DATA_FORMAT_ASGI);
    chunk.set_index(++web->last_in);
    event->SerializeToString(chunk.mutable_data());
    THAW_CO_TRY_VOID(co_await sink.write(chunk));
  }
}

Task<Empty> put_data_out(Context& cx, net::GrpcCall& call, pb::FunctionCallPutDataRequest request) {
  THAW_CO_TRY(const model::ContainerId container, container_of(cx, call));
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  const model::CallId id(request.function_call_id());
  const auto found = cx.web_requests.find(id);
  if (found == cx.web_requests.end()) {
    for (auto& chunk : *request.mutable_data_chunks()) {
      model::LogEntry entry;
      entry.kind = model::LogEntry::Kind::chunk;
      entry.container = container;
      entry.payload = chunk.SerializeAsString();
      const auto number = co_await cx.parts.queue.append(id, std::move(entry));
      if (!number) {
        co_return number.error();
      }
    }
    co_return Empty();
  }
  const std::shared_ptr<WebRequest> web = found->second;
  for (auto& chunk : *request.mutable_data_chunks()) {
    if (chunk.index() <= web->last_out) {
      continue;  // this RPC was repeated
    }
    web->last_out = chunk.index();
    THAW_CO_TRY(const std::string bytes, co_await bytes_of(cx, who.workspace, std::move(chunk)));
    pb::Asgi event;
    if (!event.ParseFromString(bytes)) {
      co_return Error::invalid_argument("a web event is not valid");
    }
    // A closed channel means that the web client is gone: what is still said is dropped.
    if (const Result<void> sent = co_await web->from_container.send(std::move(event)); !sent) {
      if (!web->from_container.closed()) {
        co_return sent.error();
      }
    }
  }
  co_return Empty();
}

}  // namespace

void add_call_data_rpcs(net::GrpcTable& table, Context& cx) {
  add_stream(table, cx, "FunctionCallGetDataOut", data_out);
  add_stream(table, cx, "FunctionCallGetDataIn", data_in);
  add(table, cx, "FunctionCallPutDataOut", put_data_out);
}

}  // namespace thaw::dialect::modal
