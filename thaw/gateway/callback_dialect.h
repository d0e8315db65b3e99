// SPDX-License-Identifier: Apache-2.0
//
// CallbackDialect: what a cloud knows of callbacks that were asked for in its words: how an entry
// of a call's log is put, and which function one of its names means. Loop thread only.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/model/call.h"
#include "thaw/queue/callbacks.h"

namespace thaw::gateway {

struct RenderedCallback {
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> headers;  // beside those of all callbacks
  std::string body;
};

struct CallbackCall {
  model::NewCall call;
  std::vector<model::NewInput> inputs;
};

class CallbackDialect {
 public:
  virtual ~CallbackDialect() = default;

  // `turn.entry` is there. none: its receiver is not told of this one. An Error ends the callback.
  virtual Result<std::optional<RenderedCallback>> render(const queue::DueCallback& callback,
                                                         const queue::CallbackTurn& turn) = 0;
  // A durable call of the function that is named, in that workspace. An Error ends the callback.
  virtual Result<CallbackCall> call_for(const model::WorkspaceId& workspace,
                                        const std::string& function, RenderedCallback rendered) = 0;
};

}  // namespace thaw::gateway
