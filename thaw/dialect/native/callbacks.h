// SPDX-License-Identifier: Apache-2.0
//
// Callbacks in this API's words: read from the headers of a request that makes a call, put into
// JSON when they are sent, and told in what is shown of a call (docs/reference/api.md).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/dialect/native/context.h"
#include "thaw/gateway/callback_dialect.h"

namespace thaw::dialect::native {

// thaw-callback (one for each), thaw-callback-on, thaw-callback-for. invalid_argument, or
// permission_denied where the address alone tells that nothing is sent there.
Result<std::vector<model::Callback>> read_callbacks(const net::Headers& headers,
                                                    const gateway::SinkRules& rules);
// What stands for them in the fingerprint of a call that is made once; empty: there are none.
std::string callbacks_text(const std::vector<model::Callback>& callbacks);

codec::Json json_of(const queue::CallbackView& view);

// An entry as it is told; a result that is large is a link to `result_url`.
codec::Json json_of(const queue::CallbackTurn& turn, const std::string& function,
                    const std::string& result_url);

class NativeCallbacks final : public gateway::CallbackDialect {
 public:
  explicit NativeCallbacks(Context& cx) : cx_(cx) {}

  gateway::CallbackRendering render(queue::DueCallback callback, queue::CallbackTurn turn) override;
  Result<gateway::CallbackCall> call_for(const model::WorkspaceId& workspace,
                                         const std::string& function,
                                         gateway::RenderedCallback rendered) override;

 private:
  Context& cx_;
};

// GET /api/v1/callback-secret
async::Task<void> serve_callback_secret(Context& cx, gateway::Identity who,
                                        net::HttpExchange& exchange);

}  // namespace thaw::dialect::native
