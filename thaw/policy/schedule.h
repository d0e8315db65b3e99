// SPDX-License-Identifier: Apache-2.0
//
// When a schedule's next tick is. Pure: what clocks show where comes in as a Zone.
//
// On the days on which a zone's clocks are changed, an expression that names hours means what the
// clocks show: what they skip comes at the moment at which they skip it, what they show twice comes
// the first time only. One for every hour goes on by the minutes that pass.
#pragma once

#include <chrono>
#include <optional>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/model/schedule.h"
#include "thaw/policy/cron.h"

namespace thaw::policy {

class Zone {
 public:
  virtual ~Zone() = default;
  // What its clocks show.
  virtual std::chrono::local_seconds shown(std::chrono::sys_seconds time) const = 0;
  // The first moment at which they show it; of what they skip, that at which they do.
  virtual std::chrono::sys_seconds first(std::chrono::local_seconds shown) const = 0;
};

class UtcZone final : public Zone {
 public:
  std::chrono::local_seconds shown(std::chrono::sys_seconds time) const override;
  std::chrono::sys_seconds first(std::chrono::local_seconds shown) const override;
};

// The first tick later than `after`; WallTime::max() if there is none within 50 years.
WallTime next_tick(const Cron& cron, const Zone& zone, WallTime after);

// invalid_argument names what is wrong: a negative part, or less than a second in all.
Result<void> check(const model::PeriodSchedule& period);
// `period` has passed check(). The ticks are `begin` and a whole number of periods, at least one.
WallTime next_tick(const model::PeriodSchedule& period, WallTime begin, WallTime after);

// The last tick of those from `due` to `now` that is not longer ago than `limit`, where `next`
// gives the one after any moment; none: all of them were longer ago. What a server that was down
// has missed is made good once. `due` <= `now`; a `limit` is at most half a day.
template <class Next>
std::optional<WallTime> last_missed(WallTime due, WallTime now, Duration limit, Next next) {
  const WallTime oldest = now - std::chrono::duration_cast<std::chrono::microseconds>(limit);
  if (due < oldest) {
    due = next(oldest - std::chrono::microseconds(1));
  }
  std::optional<WallTime> last;
  while (due <= now && (!last || due > *last)) {
    last = due;
    due = next(due);
  }
  return last;
}

}  // namespace thaw::policy
