// SPDX-License-Identifier: Apache-2.0
//
// Time in two kinds: Instant (monotonic; deadlines, windows) and WallTime (for people and records,
// microseconds since the Unix epoch). Durations are std::chrono.
#pragma once

#include <chrono>
#include <cstdint>

namespace thaw {

using namespace std::chrono_literals;

using Duration = std::chrono::nanoseconds;
using Instant = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

inline Instant monotonic_now() { return std::chrono::steady_clock::now(); }
inline WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
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
