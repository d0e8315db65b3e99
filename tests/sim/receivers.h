// SPDX-License-Identifier: Apache-2.0
//
// Receivers: who callbacks are told to in a simulated world. Some are deaf for a while, some
// refuse, some answer and are cut off before it is heard. They tell the judge what they took, and
// outlive every server.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/sim/dice.h"
#include "tests/sim/judge.h"
#include "thaw/gateway/callback_dialect.h"
#include "thaw/gateway/callback_sender.h"

namespace thaw::sim {

class Receivers final : public gateway::CallbackSender, public gateway::CallbackDialect {
 public:
  Receivers(Dice& dice, Judge& judge) : dice_(dice), judge_(judge) {}

  // What a call's callbacks are to be; may be none.
  std::vector<model::Callback> draw();
  // From now on they all listen, and none refuses.
  void calm() { is_calm_ = true; }
  // A disk may be full, or a server killed, before it is noted that a callback was refused.
  bool may_forget = false;
  // The server that asks is dead: nobody hears it.
  const bool* is_dead = nullptr;

  async::Task<gateway::CallbackAnswer> send(gateway::CallbackMessage message) override;
  gateway::CallbackRendering render(queue::DueCallback callback, queue::CallbackTurn turn) override;
  Result<gateway::CallbackCall> call_for(const model::WorkspaceId& workspace,
                                         const std::string& function,
                                         gateway::RenderedCallback rendered) override;

  // Once all is at rest: what became of one callback of a call, of which the results are known.
  void judge(const std::string& call, const queue::CallbackView& view,
             const std::map<int, model::LogEntry>& results);

 private:
  struct Heard {
    std::map<std::uint64_t, int> taken;  // how often, by number
    std::uint64_t last = 0;
    bool was_refused = false;
  };
  Dice& dice_;
  Judge& judge_;
  bool is_calm_ = false;
  std::map<std::string, Instant> deaf_until_;  // by address
  std::map<std::string, Heard> heard_;         // by call and ordinal
};

}  // namespace thaw::sim
