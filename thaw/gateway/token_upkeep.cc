// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/token_upkeep.h"

#include "thaw/async/every.h"

namespace thaw::gateway {

using async::Task;

void TokenUpkeep::start() {
  tasks_.start("tokens", async::every(limits_.period, "tokens", [this] { return round(); }));
}

Task<void> TokenUpkeep::stop() {
  THAW_CO_TRY_VOID(co_await tasks_.stop());
  co_return co_await access_.write_uses(limits_.in_a_round);
}

Task<void> TokenUpkeep::round() {
  THAW_CO_TRY_VOID(co_await access_.write_uses(limits_.in_a_round));
  const auto kept = std::chrono::duration_cast<WallTime::duration>(limits_.keep_expired);
  co_return co_await access_.forget_expired(wall_now() - kept, limits_.in_a_round);
}

}  // namespace thaw::gateway
