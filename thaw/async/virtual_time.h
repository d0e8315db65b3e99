// SPDX-License-Identifier: Apache-2.0
//
// VirtualTime: a clock that stands still until it is told to go on, and the waits of the tasks of
// this thread's loop on it. For simulations: hours pass in the time that the work takes, and the
// same steps come in the same order each time. While it lives it is the clock of the thread that
// made it, and what would run on the threads of a pool runs there too (blocking.h); sockets keep
// real time and have no place beside it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "thaw/async/loop.h"
#include "thaw/base/time.h"

namespace thaw::async {

class VirtualTime final : public Clock {
 public:
  // Begins at an arbitrary moment that is the same each time.
  VirtualTime();
  ~VirtualTime() override;

  // Of this thread; nullptr: time is real.
  static VirtualTime* of_thread();

  Instant now() const override { return now_; }
  WallTime wall() const override { return wall_; }
  // The wall clock jumps, as people and time servers make it; the monotonic one does not.
  void jump_wall(Duration by);  // tidy(unused): time is virtual only in the simulator

  // Runs `loop` until nothing is left to do at this moment, moves to the next moment that somebody
  // waits for, and so on until `until`, which is then now. False if somebody calls stop() of the
  // loop before.
  bool run(Loop& loop, Instant until);

  // How long half of a piece of work takes that would be a pool thread's; asked twice for each.
  std::function<Duration()> work_time = [] { return Duration::zero(); };
  // Resumes after that time; deaf to the task's cancellation, as such work is.
  static boost::asio::awaitable<void> work();

  // `due` runs once at `when`, unless it is taken back. Those of one moment run in the order in
  // which they were added.
  using Key = std::pair<Instant, std::uint64_t>;
  Key add(Instant when, std::function<void()> due);
  void remove(const Key& key) { waits_.erase(key); }

 private:
  Instant now_{};
  WallTime wall_{};
  std::uint64_t added_ = 0;
  std::map<Key, std::function<void()>> waits_;
  ClockScope scope_;
};

}  // namespace thaw::async
