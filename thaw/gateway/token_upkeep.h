// SPDX-License-Identifier: Apache-2.0
//
// TokenUpkeep: now and then it writes down when tokens were used last, and forgets those whose time
// has been over for long. A few in each round, so that a thousand tokens that are used at once cost
// no more than one. Loop thread only.
#pragma once

#include "thaw/async/task_group.h"
#include "thaw/gateway/access.h"

namespace thaw::gateway {

struct TokenUpkeepLimits {
  Duration period = std::chrono::minutes(1);
  std::size_t in_a_round = 200;
  Duration keep_expired = std::chrono::hours(24 * 30);  // in `thaw token list`
};

class TokenUpkeep {
 public:
  TokenUpkeep(async::Loop& loop, Access& access, TokenUpkeepLimits limits = {})
      : access_(access), limits_(limits), tasks_(loop) {}

  void start();
  // Writes what is left, as much as fits into a round.
  async::Task<void> stop();

 private:
  async::Task<void> round();

  Access& access_;
  TokenUpkeepLimits limits_;
  async::TaskGroup tasks_;  // last: ended first
};

}  // namespace thaw::gateway
