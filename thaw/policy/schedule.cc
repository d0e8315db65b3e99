// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/schedule.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

namespace thaw::policy {

using std::chrono::days;
using std::chrono::floor;
using std::chrono::hours;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;
using std::chrono::months;
using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

namespace {

constexpr int most_days = 50 * 366;

struct Shown {
  local_days day;
  unsigned hour;
  unsigned minute;
};

Shown parts_of(local_seconds shown) {
  const local_days day = floor<days>(shown);
  const auto minute = static_cast<unsigned>(floor<minutes>(shown - day).count());
  return {day, minute / 60, minute % 60};
}

bool has_day(const Cron& cron, local_days day) { return cron.has_day(year_month_day(day)); }

// Without the zone's clocks, which cost more than a calendar.
std::optional<local_days> next_day(const Cron& cron, local_days day) {
  for (int i = 0; i < most_days; ++i, day += days(1)) {
    if (has_day(cron, day)) {
      return day;
    }
  }
  return std::nullopt;
}

// By minutes that pass.
std::optional<sys_seconds> next_minute(const Cron& cron, const Zone& zone, sys_seconds after) {
  sys_seconds time = floor<minutes>(after) + minutes(1);
  while (true) {
    const Shown shown = parts_of(zone.shown(time));
    if (!has_day(cron, shown.day)) {
      const auto day = next_day(cron, shown.day + days(1));
      if (!day) {
        return std::nullopt;
      }
      time = std::max(zone.first(local_seconds(*day)), time + minutes(1));
    } else if (cron.has_minute(shown.minute)) {
      return time;
    } else {
      time += minutes(1);
    }
  }
}

// By what the clocks show.
std::optional<sys_seconds> next_shown(const Cron& cron, const Zone& zone, sys_seconds after) {
  // A day earlier: what was skipped lately may still be to come.
  for (auto day = next_day(cron, floor<days>(zone.shown(after)) - days(1)); day;
       day = next_day(cron, *day + days(1))) {
    for (unsigned hour = 0; hour < 24; ++hour) {
      if (!cron.has_hour(hour)) {
        continue;
      }
      for (unsigned minute = 0; minute < 60; ++minute) {
        if (!cron.has_minute(minute)) {
          continue;
        }
        const sys_seconds time = zone.first(local_seconds(*day) + hours(hour) + minutes(minute));
        if (time > after) {
          return time;
        }
      }
    }
  }
  return std::nullopt;
}

std::chrono::microseconds fixed_part(const model::PeriodSchedule& p) {
  const auto seconds = std::chrono::microseconds(std::llround(p.seconds * 1e6));
  return days(7) * p.weeks + days(p.days) + hours(p.hours) + minutes(p.minutes) + seconds;
}

// `begin` and `count` periods; a day that a month lacks is its last one.
WallTime tick_of(const model::PeriodSchedule& period, WallTime begin, std::int64_t count) {
  const auto per = months(period.months) + months(12) * period.years;
  const sys_days day = floor<days>(begin);
  year_month_day date = year_month_day(day) + months(per.count() * count);
  if (!date.ok()) {
    date = date.year() / date.month() / std::chrono::last;
  }
  return WallTime(sys_days(date)) + (begin - day) + fixed_part(period) * count;
}

}  // namespace

local_seconds UtcZone::shown(sys_seconds time) const {
  return local_seconds(time.time_since_epoch());
}
sys_seconds UtcZone::first(local_seconds shown) const {
  return sys_seconds(shown.time_since_epoch());
}

WallTime next_tick(const Cron& cron, const Zone& zone, WallTime after) {
  const sys_seconds second = floor<std::chrono::seconds>(after);
  const auto next =
      cron.is_every_hour() ? next_minute(cron, zone, second) : next_shown(cron, zone, second);
  return next ? WallTime(*next) : WallTime::max();
}

Result<void> check(const model::PeriodSchedule& p) {
  // A thousand years of each: their sum is far from what microseconds can count.
  struct Part {
    const char* name;
    int value;
    int most;
  };
  for (const Part& part :
       {Part{"years", p.years, 1'000}, Part{"months", p.months, 12'000},
        Part{"weeks", p.weeks, 52'000}, Part{"days", p.days, 366'000},
        Part{"hours", p.hours, 8'784'000}, Part{"minutes", p.minutes, 527'040'000}}) {
    if (part.value < 0 || part.value > part.most) {
      return Error::invalid_argument(
          "the " + std::string(part.name) + " of a period are a number from 0 to " +
          std::to_string(part.most) + ", not " + std::to_string(part.value));
    }
  }
  if (!(p.seconds >= 0 && p.seconds <= 3e10)) {
    return Error::invalid_argument("the seconds of a period are a number from 0 to 3e10");
  }
  if (p.years == 0 && p.months == 0 && fixed_part(p) < std::chrono::seconds(1)) {
    return Error::invalid_argument("a period is at least a second");
  }
  return ok();
}

WallTime next_tick(const model::PeriodSchedule& period, WallTime begin, WallTime after) {
  // A period is at least a second, so that so many of them are past `after`.
  const std::int64_t all = (after - begin) / std::chrono::seconds(1) + 1;
  // `low` periods are not later than `after` (or none), `high` are.
  std::int64_t low = 0;
  std::int64_t high = 1;
  while (high < all && tick_of(period, begin, high) <= after) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (tick_of(period, begin, middle) <= after ? low : high) = middle;
  }
  return tick_of(period, begin, high);
}

}  // namespace thaw::policy
