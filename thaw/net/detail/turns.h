// SPDX-License-Identifier: Apache-2.0
//
// Turns: who may use the loop's time for its input. A connection works on what has arrived for a
// slice at most; one that has more, or has used much of the last moments while others wanted the
// loop too, waits here until it is called. The one that has used least is called first, one for
// each round of the loop, so that all floods together cost a bystander one slice a round. Loop
// thread only.
#pragma once

#include <map>
#include <memory>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/base/time.h"

namespace thaw::net::detail {

// Time used of late: it halves every tenth of a second.
class TurnShare {
 public:
  void spend(Duration used, Instant now);
  double used_us(Instant now) const;

 private:
  double used_us_ = 0;
  Instant at_{};
};

class Turns {
 public:
  static constexpr Duration slice = 300us;

  explicit Turns(async::Loop& loop);
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // A connection, and the account that it belongs to, have used the loop.
  void spend(TurnShare& own, TurnShare& account, Duration used, Instant now);
  // True if it should wait() before it uses the loop again.
  bool is_greedy(const TurnShare& own, const TurnShare& account, Instant now) const;
  // Until it is called. `own` and `account` outlive the task.
  async::Task<void> wait(const TurnShare& own, const TurnShare& account);

 private:
  struct Line;
  TurnShare all_;
  // Whether another account than `account` has used the loop of late.
  bool is_shared(const TurnShare& account, Instant now) const;

  const TurnShare* last_account_ = nullptr;  // compared only
  Instant last_used_at_ = Instant::min();    // by that account
  Instant others_used_at_ = Instant::min();  // by the last one that was another
  std::shared_ptr<Line> line_;
};

}  // namespace thaw::net::detail
