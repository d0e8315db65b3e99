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
#include "thaw/base/check.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/operations.h"
#include "thaw/net/grpc.h"

namespace thaw::dialect::modal {

using Empty = google::protobuf::Empty;

// Of an RPC that is served; each has a row in the table of operations.
inline std::string method_path(std::string_view name) {
  THAW_CHECK(find_operation(name) != nullptr);
  return "/modal.client.ModalClient/" + std::string(name);
}

// A request of the kind get-or-create, which may make what it names.
template <class Request>
concept MayMake = requires(const Request& request) { request.object_creation_type(); };

template <class Request, class Reply>
async::Task<Reply> handle_if_may_make(Context& cx, net::GrpcCall& call, Request request,
                                      async::Task<Reply> (*function)(Context&, net::GrpcCall&,
                                                                     Request)) {
  if (static_cast<int>(request.object_creation_type()) != 0) {
    THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
    THAW_CO_TRY_VOID(gateway::check_may(who, making));
  }
  co_return co_await function(cx, call, std::move(request));
}

template <class Request, class Reply>
async::Task<Reply> handle(Context& cx, net::GrpcCall& call, Request request,
                          async::Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  if constexpr (MayMake<Request>) {
    return handle_if_may_make(cx, call, std::move(request), function);
  } else {
    return function(cx, call, std::move(request));
  }
}

template <class Request, class Reply>
void add(net::GrpcTable& table, Context& cx, std::string_view name,
         async::Task<Reply> (*function)(Context&, net::GrpcCall&, Request)) {
  table.unary<Request, Reply>(method_path(name), [&cx, function](net::GrpcCall& call, Request r) {
    return handle(cx, call, std::move(r), function);
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

// Replies of one method to one workspace by idempotency key, kept two minutes, at most 10,000 and
// at most 8 MiB; the oldest go first. What must not be done twice though its reply was forgotten,
// or the server started anew, has its key in what is stored (FunctionMap).
template <class Reply>
class RememberedReplies {
 public:
  struct Entry {
    std::string key;
    Instant at{};
    std::optional<Result<Reply>> reply;
    std::size_t bytes = 0;
    bool is_old = false;  // forgotten when it is done
    async::Event done;
  };
  using Known = std::shared_ptr<Entry>;

  // nullptr if it is to be done: never asked for, forgotten, or it failed.
  Known find(const std::string& key) const {
    const auto found = entries_.find(key);
    const bool counts = found != entries_.end() && (!found->second->reply || *found->second->reply);
    return counts ? found->second : nullptr;
  }
  Known begin(const std::string& key) {
    auto entry = std::make_shared<Entry>();
    entry->key = key;
    entry->at = monotonic_now();
    entry->bytes = sizeof(Entry) + 2 * key.size();
    bytes_ += entry->bytes;
    entries_[key] = entry;
    order_.push_back(entry);
    forget_old();
    return entry;
  }
  void finish(const Known& entry, Result<Reply> reply) {
    if (reply && !entry->is_old) {
      entry->bytes += reply->ByteSizeLong();
      bytes_ += reply->ByteSizeLong();
    }
    entry->reply = std::move(reply);
    entry->done.notify_all();
    if (entry->is_old) {
      erase(*entry);
    }
    forget_old();
  }

 private:
  static constexpr std::size_t most = 10'000;
  static constexpr std::size_t most_bytes = 8u << 20;

  void forget_old() {
    const Instant old = monotonic_now() - 120s;
    while (!order_.empty() &&
           (order_.size() > most || bytes_ > most_bytes || order_.front()->at < old)) {
      const Known oldest = std::move(order_.front());
      order_.pop_front();
      bytes_ -= oldest->bytes;
      oldest->is_old = true;
      if (oldest->reply) {
        erase(*oldest);
      }
    }
  }
  void erase(const Entry& entry) {
    const auto found = entries_.find(entry.key);
    if (found != entries_.end() && found->second.get() == &entry) {
      entries_.erase(found);
    }
  }

  std::unordered_map<std::string, Known> entries_;
  std::deque<Known> order_;
  std::size_t bytes_ = 0;
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
    co_return co_await handle(cx, call, std::move(request), function);
  }
  THAW_CO_TRY(const gateway::Identity who, identify(cx, call));
  auto& own = (*workspaces)[who.workspace];
  own = own ? own : std::make_shared<RememberedReplies<Reply>>();
  const std::shared_ptr<RememberedReplies<Reply>> memory = own;
  // What one token is told is not another's, who may do less.
  const std::string name = who.container.str() + " " + who.token.str() + " " + std::string(*key);
  // Of those who wait for one that fails, one tries again, and the others wait for that.
  while (const auto known = memory->find(name)) {
    while (!known->reply) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await known->done.wait(Instant::max()));
    }
    if (*known->reply) {
      co_return **known->reply;
    }
  }
  const auto entry = memory->begin(name);
  Result<Reply> reply = co_await handle(cx, call, std::move(request), function);
  memory->finish(entry, reply);
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
