// SPDX-License-Identifier: Apache-2.0
//
// Binds a coroutine `Task<Reply> f(Context&, GrpcCall&, Request)` to its method path. Clients
// repeat unary RPCs after lost connections with the same x-idempotency-key; `add_once` remembers
// replies by that key for a while, so that a repeated FunctionMap does not run a call twice. Each
// asker has keys of its own, and each workspace a share of what is remembered.
#pragma once

#include <google/protobuf/empty.pb.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/net/grpc.h"

namespace thaw::dialect::modal {

using Empty = google::protobuf::Empty;

inline std::string method_path(std::string_view name) {
  return "/modal.client.ModalClient/" + std::string(name);
}

template <class Request, class Reply>
void add(net::GrpcTable& table, Context& cx, std::string_view name,
         async::Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  table.unary<Request, Reply>(method_path(name), [&cx, function](net::GrpcCall& call, Request r) {
    return function(cx, call, std::move(r));
  });
}

template <class Request, class Item>
void add_stream(net::GrpcTable& table, Context& cx, std::string_view name,
                async::Task<void> (*function)(Context&, net::GrpcCall&, Request, net::Sink<Item>)) {
  table.server_stream<Request, Item>(
      method_path(name), [&cx, function](net::GrpcCall& call, Request r, net::Sink<Item> sink) {
        return function(cx, call, std::move(r), sink);
      });
}

// Replies of one method to one workspace by idempotency key, kept two minutes and at most 10,000.
template <class Reply>
class RememberedReplies {
 public:
  struct Entry {
    std::optional<Result<Reply>> reply;
    Instant at{};
    async::Event done;
  };

  std::shared_ptr<Entry> find(const std::string& key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : found->second;
  }
  std::shared_ptr<Entry> begin(const std::string& key) {
    const Instant now = monotonic_now();
    while (!order_.empty() && (order_.size() >= 10'000 || order_.front().first + 120s < now)) {
      entries_.erase(order_.front().second);
      order_.pop_front();
    }
    auto entry = std::make_shared<Entry>();
    entries_[key] = entry;
    order_.emplace_back(now, key);
    return entry;
  }

 private:
  std::unordered_map<std::string, std::shared_ptr<Entry>> entries_;
  std::deque<std::pair<Instant, std::string>> order_;
};

template <class Reply>
using RememberedByWorkspace =
    std::unordered_map<model::WorkspaceId, std::shared_ptr<RememberedReplies<Reply>>>;

template <class Request, class Reply>
async::Task<Reply> run_once(std::shared_ptr<RememberedByWorkspace<Reply>> workspaces, Context& cx,
                            net::GrpcCall& call, Request request,
                            async::Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  const auto key = call.metadata().find("x-idempotency-key");
  if (!key) {
    co_return co_await function(cx, call, std::move(request));
  }
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  auto& own = (*workspaces)[who.workspace];
  own = own ? own : std::make_shared<RememberedReplies<Reply>>();
  const std::shared_ptr<RememberedReplies<Reply>> memory = own;
  const std::string name = who.container.str() + " " + std::string(*key);
  if (const auto known = memory->find(name)) {
    while (!known->reply) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await known->done.wait(Instant::max()));
    }
    if (*known->reply) {
      co_return **known->reply;
    }
  }
  const auto entry = memory->begin(name);
  Result<Reply> reply = co_await function(cx, call, std::move(request));
  entry->reply = reply;
  entry->done.notify_all();
  co_return reply;
}

template <class Request, class Reply>
void add_once(net::GrpcTable& table, Context& cx, std::string_view name,
              async::Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  auto memory = std::make_shared<RememberedByWorkspace<Reply>>();
  table.unary<Request, Reply>(method_path(name),
                              [&cx, function, memory](net::GrpcCall& call, Request r) {
                                return run_once(memory, cx, call, std::move(r), function);
                              });
}

}  // namespace thaw::dialect::modal
