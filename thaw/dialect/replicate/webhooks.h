// SPDX-License-Identifier: Apache-2.0
//
// Webhooks: what a prediction's receiver is told, and when: that it has begun and that it has ended
// always, what it gives and prints at most every 500 ms. How a message is kept, signed, tried again
// and given up is the callbacks' (gateway/callback_loop.h). Loop thread only.
#pragma once

#include <map>
#include <string>

#include "thaw/dialect/replicate/context.h"
#include "thaw/dialect/replicate/webhook_events.h"
#include "thaw/gateway/callback_dialect.h"

namespace thaw::dialect::replicate {

// invalid_argument, permission_denied: such an address is told nothing.
Result<model::Callback> callback_of(const std::string& url, const WebhookEvents& events,
                                    const gateway::SinkRules& rules, const std::string& base);

class Webhooks final : public gateway::CallbackDialect {
 public:
  explicit Webhooks(Context& cx) : cx_(cx) {}

  async::Task<gateway::CallbackRendering> prepare(queue::DueCallback callback,
                                                  queue::CallbackTurn turn) override;
  gateway::CallbackRendering render(queue::DueCallback callback, queue::CallbackTurn turn) override;
  Result<gateway::CallbackCall> call_for(const model::WorkspaceId& workspace,
                                         const std::string& function,
                                         gateway::RenderedCallback rendered) override;

 private:
  // Whether a piece is told, as those before it were told lately.
  bool is_its_time(const model::CallId& call, const model::LogEntry& entry);

  Context& cx_;
  std::map<model::CallId, WallTime> last_told_;  // of pieces; of those lately
};

}  // namespace thaw::dialect::replicate
