// SPDX-License-Identifier: Apache-2.0
//
// CallbackDialect: what a cloud knows of callbacks that were asked for in its words: how an entry
// of a call's log is put, and which function one of its names means. Loop thread only, but for the
// renderings that it gives: a large entry is put into words, and signed, on the pool.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/model/call.h"
#include "thaw/queue/callbacks.h"

namespace thaw::gateway {

struct RenderedCallback {
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those of all callbacks
  std::string body;
};

// Puts an entry into words. It has all that it needs, by value: any thread. none: its receiver is
// not told of this one. An Error ends the callback.
using CallbackRendering = std::function<Result<std::optional<RenderedCallback>>()>;

// What has more is rendered, hashed and signed where nobody waits for the loop.
inline constexpr std::size_t most_bytes_on_loop = 64u << 10;

struct CallbackCall {
  model::NewCall call;
  std::vector<model::NewInput> inputs;
};

class CallbackDialect {
 public:
  virtual ~CallbackDialect() = default;

  // `turn.entry` is there. Looks up what it has to in the server's own tables; what takes time is
  // the rendering's.
  virtual CallbackRendering render(queue::DueCallback callback, queue::CallbackTurn turn) = 0;
  // The same for who has to read more of the call's log first. Resumes with an Error only if it is
  // to be tried again.
  virtual async::Task<CallbackRendering> prepare(queue::DueCallback callback,
                                                 queue::CallbackTurn turn) {
    co_return render(std::move(callback), std::move(turn));
  }
  // A durable call of the function that is named, in that workspace. An Error ends the callback.
  virtual Result<CallbackCall> call_for(const model::WorkspaceId& workspace,
                                        const std::string& function, RenderedCallback rendered) = 0;
};

}  // namespace thaw::gateway
