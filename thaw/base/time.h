// SPDX-License-Identifier: Apache-2.0
//
// Time in two kinds: Instant (monotonic; deadlines, windows) and WallTime (for people and records,
// microseconds since the Unix epoch). Durations are std::chrono. Both are asked of the thread's
// clock, which is the machine's unless a test has put another in its place: every object belongs to
// one loop's thread, so a loop has one time, and so has all that lives on it.
#pragma once

#include <chrono>
#include <cstdint>

namespace thaw {

using namespace std::chrono_literals;

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() const = 0;
  virtual WallTime wall() const = 0;
};

// While it lives, this thread's time is told by `clock`. Scopes nest; each ends on its own thread.
class ClockScope {
 public:
  explicit ClockScope(const Clock& clock) : before_(current_) { current_ = &clock; }
  ~ClockScope() { current_ = before_; }
  ClockScope(const ClockScope&) = delete;
  ClockScope& operator=(const ClockScope&) = delete;

  // Of this thread; nullptr: the machine's.
  static const Clock* current() { return current_; }

 private:
  static inline constinit thread_local const Clock* current_ = nullptr;
  const Clock* before_;
};

inline Instant monotonic_now() {
  const Clock* clock = ClockScope::current();
  return clock == nullptr ? std::chrono::steady_clock::now() : clock->now();
}
inline WallTime wall_now() {
  const Clock* clock = ClockScope::current();
  return clock == nullptr ? std::chrono::time_point_cast<std::chrono::microseconds>(
                                std::chrono::system_clock::now())
                          : clock->wall();
}

inline double to_seconds(Duration d) { return std::chrono::duration<double>(d).count(); }
inline double to_seconds(WallTime t) {
  return std::chrono::duration<double>(t.time_since_epoch()).count();
}
inline double to_ms(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
inline Duration from_seconds(double s) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(s));
}

}  // namespace thaw
