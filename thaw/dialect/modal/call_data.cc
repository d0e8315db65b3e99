// SPDX-License-Identifier: Apache-2.0
// The data streams of a running call: generator items on their way to the caller, and the events of
// web requests both ways.
#include <algorithm>
#include <deque>
#include <memory>
#include <utility>

#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

constexpr Duration stream_hold = 55s;
constexpr std::size_t items_per_read = 16;  // they are copies, of up to a few MB each
constexpr std::size_t repeatable_bytes = 64u << 10;
constexpr std::size_t most_unsent_bytes = 1u << 20;  // of an answer whose client is behind
constexpr std::size_t most_waiting_events = 4;
constexpr Duration time_to_heed = 1s;  // after its client has left
constexpr std::size_t most_in_an_event = 1u << 20;

// An event of a web request. One that came as a blob is in memory as a whole, and counts so.
struct EventBytes {
  std::string bytes;
  std::shared_ptr<HeldOutput::Hold> hold;
};

Task<EventBytes> bytes_of(Context& cx, model::WorkspaceId owner, pb::DataChunk chunk) {
  EventBytes event;
  if (chunk.data_oneof_case() != pb::DataChunk::kDataBlobId) {
    event.bytes = std::move(*chunk.mutable_data());
    co_return event;
  }
  constexpr std::size_t prefix = 3;  // "bl-"
  std::string sha = chunk.data_blob_id().substr(std::min(prefix, chunk.data_blob_id().size()));
  THAW_CO_TRY(const auto reader, cx.parts.blobs.open_reader(owner.str(), sha));
  const auto size = static_cast<std::size_t>(reader->size());
  THAW_CO_TRY(HeldOutput::Hold hold, cx.held_output.take(owner, size));
  event.hold = std::make_shared<HeldOutput::Hold>(std::move(hold));
  THAW_CO_TRY(event.bytes, co_await reader->read(size));
  co_return event;
}

// Only who has the lease of an input of a call speaks for it, and hears what is meant for it.
Result<model::ContainerId> worker_on(Context& cx, const net::GrpcCall& call,
                                     const model::CallId& id) {
  THAW_TRY(model::ContainerId container, container_of(cx, call));
  if (!cx.parts.queue.works_on(container, id)) {
    return Error::not_found("this container works on no input of a function call '" + id.str() +
                            "'; it may have been cancelled");
  }
  return container;
}

// The caller follows the items of a generator. What was written to it is its own: the container may
// go on.
Task<void> data_out(Context& cx, net::GrpcCall& call, pb::FunctionCallGetDataRequest request,
                    net::Sink<pb::DataChunk> sink) {
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  THAW_CO_TRY(const queue::CallInfo info, co_await find_call(cx, who, request.function_call_id()));
  const model::CallId id = info.call.id;
  Readers::Visit visit(cx.readers, id);
  std::uint64_t last = request.last_index();
  std::uint64_t after = 0;
  const Instant until = monotonic_now() + stream_hold;
  std::function<bool(const model::LogEntry&)> wanted = [](const model::LogEntry&) { return true; };
  while (monotonic_now() < until) {
    THAW_CO_TRY(const std::vector<model::LogEntry> entries,
                co_await cx.parts.queue.read(id, after, items_per_read, until, wanted));
    if (entries.empty()) {
      break;
    }
    for (const model::LogEntry& entry : entries) {
      after = entry.number;
      pb::DataChunk chunk;
      if (entry.kind != model::LogEntry::Kind::chunk || !is_of(entry.payload, chunk_type)) {
        continue;
      }
      THAW_CO_TRY(const model::Payload piece,
                  co_await cx.parts.queue.payloads().whole(info.call.workspace, entry.payload,
                                                           most_stored_bytes));
      if (!chunk.ParseFromString(piece.bytes)) {
        co_return Error::data_loss("a stored item of call " + id.str() + " is damaged");
      }
      // Items of an attempt that was repeated come again with the same index.
      if (chunk.index() == last + 1) {
        last = chunk.index();
        THAW_CO_TRY_VOID(co_await sink.write(chunk));
      } else if (chunk.index() > last + 1) {
        co_return Error::data_loss("the items of call " + id.str() + " after number " +
                                   std::to_string(last) +
                                   " went to a connection that broke and are not kept any more; "
                                   "call the function again");
      }
      cx.parts.queue.take(id, after);
    }
  }
  visit.will_come_again();
  co_return ok();
}

// Events that a container was sent are kept for the next one while they are few.
void keep_sent(Context& cx, const model::CallId& id, WebRequest& web, const pb::Asgi& event) {
  if (!web.is_repeatable) {
    return;
  }
  web.sent_bytes += event.ByteSizeLong();
  web.sent.emplace_back(web.last_in, event);
  if (web.sent_bytes > repeatable_bytes) {
    web.is_repeatable = false;
    web.sent.clear();
    cx.parts.queue.forbid_repeats(id);
  }
}

Task<void> send_event(net::Sink<pb::DataChunk> sink, std::uint64_t index, const pb::Asgi& event) {
  pb::DataChunk chunk;
  chunk.set_data_format(pb::DATA_FORMAT_ASGI);
  chunk.set_index(index);
  event.SerializeToString(chunk.mutable_data());
  co_return co_await sink.write(chunk);
}

std::size_t bytes_to_container(const pb::Asgi& event) {
  return event.http_request().body().size() + event.websocket_receive().text().size() +
         event.websocket_receive().bytes().size();
}

// The next event for the container. The pieces of a body that wait already come as one.
Task<std::optional<pb::Asgi>> next_event(std::shared_ptr<WebRequest> web) {
  THAW_CO_TRY(std::optional<pb::Asgi> event, co_await web->to_container.receive(Instant::max()));
  if (!event) {
    co_return std::nullopt;
  }
  std::size_t taken = bytes_to_container(*event);
  while (event->has_http_request() && event->http_request().more_body() &&
         taken < most_in_an_event && web->to_container.size() > 0) {
    THAW_CO_TRY(std::optional<pb::Asgi> more, co_await web->to_container.receive(Instant::max()));
    std::string& body = *event->mutable_http_request()->mutable_body();
    body.reserve(std::max(body.size() + more->http_request().body().size(), web->bytes_ahead));
    body += more->http_request().body();
    event->mutable_http_request()->set_more_body(more->http_request().more_body());
    taken += more->http_request().body().size();
  }
  web->bytes_ahead -= taken;
  web->bytes_taken.notify_all();
  co_return event;
}

// The container follows the events of a web request; the last is that there is no client any more.
Task<void> data_in(Context& cx, net::GrpcCall& call, pb::FunctionCallGetDataRequest request,
                   net::Sink<pb::DataChunk> sink) {
  const model::CallId id(request.function_call_id());
  THAW_CO_TRY(const model::ContainerId container, worker_on(cx, call, id));
  const auto found = cx.web_requests.find(id);
  if (found == cx.web_requests.end()) {
    co_return Error::not_found("no web request waits for call '" + request.function_call_id() +
                               "'; its client may be gone");
  }
  const std::shared_ptr<WebRequest> web = found->second;
  const bool is_another = web->container != container;
  web->container = container;
  const std::uint64_t known = is_another ? 0 : request.last_index();
  const std::deque<std::pair<std::uint64_t, pb::Asgi>> again = web->sent;
  for (const auto& [index, event] : again) {
    if (index > known) {
      THAW_CO_TRY_VOID(co_await send_event(sink, index, event));
    }
  }
  while (true) {
    THAW_CO_TRY(std::optional<pb::Asgi> event, co_await next_event(web));
    if (!event) {
      break;
    }
    ++web->last_in;
    keep_sent(cx, id, *web, *event);
    THAW_CO_TRY_VOID(co_await send_event(sink, web->last_in, *event));
  }
  if (web->is_left && !web->is_told) {
    web->is_told = true;
    pb::Asgi event;
    if (web->is_websocket) {
      event.mutable_websocket_disconnect()->set_code(static_cast<std::uint32_t>(web->close_code));
    } else {
      event.mutable_http_disconnect();
    }
    THAW_CO_TRY_VOID(co_await send_event(sink, ++web->last_in, event));
  }
  // A stream that ends is opened again at once.
  while (!web->is_over) {
    THAW_CO_TRY([[maybe_unused]] const bool told, co_await web->over.wait(Instant::max()));
  }
  co_return ok();
}

std::size_t body_bytes(const pb::Asgi& event) {
  return event.http_response_body().body().size() + event.websocket_send().text().size() +
         event.websocket_send().bytes().size();
}

// Waits while the client is behind. What is said to one that is gone is dropped.
Task<void> pass_on(std::shared_ptr<WebRequest> web, pb::Asgi event) {
  if (web->waiting >= most_waiting_events) {
    co_return Error::resource_exhausted(std::to_string(web->waiting) +
                                        " events of this web request wait for its client already; "
                                        "send one at a time");
  }
  const std::size_t size = body_bytes(event);
  while (web->unsent_bytes > most_unsent_bytes && !web->from_container.closed()) {
    ++web->waiting;
    const Result<bool> woken = co_await web->taken.wait(Instant::max());
    --web->waiting;
    if (!woken) {
      co_return woken.error();
    }
  }
  web->unsent_bytes += size;
  ++web->waiting;
  Result<void> sent = co_await web->from_container.send(std::move(event));
  --web->waiting;
  co_return web->from_container.closed() ? ok() : std::move(sent);
}

// An application that streams on to nobody has not heard of it: its call is cancelled.
Task<void> cancel_unheeding(Context& cx, model::CallId id, std::shared_ptr<WebRequest> web) {
  web->is_cancelled = true;
  THAW_CO_TRY(const std::vector<model::InputId> running,
              co_await cx.parts.queue.cancel(std::move(id)));
  cx.fleet->cancel_inputs(running, control::Fleet::StopHow::graceful);
  co_return ok();
}

// Pieces of a call's output: answered when its reader has taken enough.
Task<Empty> put_items(Context& cx, model::ContainerId container, model::CallId id,
                      pb::FunctionCallPutDataRequest request) {
  // all workspaces: the container works on it
  THAW_CO_TRY(const queue::CallInfo info, co_await cx.parts.queue.info(id));
  if (info.call.options.empty()) {
    co_return Empty();  // a web request that is over: nobody hears it
  }
  for (auto& chunk : *request.mutable_data_chunks()) {
    model::LogEntry entry;
    entry.kind = model::LogEntry::Kind::chunk;
    entry.container = container;
    entry.payload = {chunk.SerializeAsString(), std::string(chunk_type)};
    chunk.Clear();
    const auto number = co_await cx.parts.queue.append(id, std::move(entry));
    if (!number) {
      co_return number.error();
    }
  }
  co_return Empty();
}

Task<Empty> put_data_out(Context& cx, net::GrpcCall& call, pb::FunctionCallPutDataRequest request) {
  const model::CallId id(request.function_call_id());
  THAW_CO_TRY(const model::ContainerId container, worker_on(cx, call, id));
  THAW_CO_TRY(const auto spec, cx.fleet->spec_of(container));
  THAW_CO_TRY(const HeldOutput::Hold hold,
              cx.held_output.take(spec->workspace, request.ByteSizeLong()));
  const auto found = cx.web_requests.find(id);
  if (found == cx.web_requests.end()) {
    co_return co_await put_items(cx, container, id, std::move(request));
  }
  const std::shared_ptr<WebRequest> web = found->second;
  if (web->last_out == 0) {
    cx.parts.queue.forbid_repeats(id);  // its client may have seen the beginning of an answer
  }
  for (auto& chunk : *request.mutable_data_chunks()) {
    if (chunk.index() <= web->last_out) {
      continue;  // this RPC was repeated
    }
    web->last_out = chunk.index();
    THAW_CO_TRY(EventBytes sent, co_await bytes_of(cx, spec->workspace, std::move(chunk)));
    pb::Asgi event;
    if (!event.ParseFromString(std::exchange(sent.bytes, {}))) {
      co_return Error::invalid_argument("a web event is not valid");
    }
    const bool streams = event.http_response_body().more_body() || event.has_websocket_send();
    if (web->is_left && streams && !web->is_cancelled &&
        monotonic_now() > web->left_at + time_to_heed) {
      THAW_CO_TRY_VOID(co_await cancel_unheeding(cx, id, web));
    }
    THAW_CO_TRY_VOID(co_await pass_on(web, std::move(event)));
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
