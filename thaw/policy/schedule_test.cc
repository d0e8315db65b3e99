// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/schedule.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

using namespace thaw;
using namespace std::chrono;
using policy::Cron;
using policy::next_tick;

namespace {

// One whose clocks go from 2 to 3 in the night of March 29th, and from 3 to 2 in that of October
// 25th of 2026: central Europe's.
class Changing final : public policy::Zone {
 public:
  local_seconds shown(sys_seconds time) const override {
    return local_seconds(time.time_since_epoch()) + offset(time);
  }
  sys_seconds first(local_seconds shown) const override {
    const sys_seconds summer(shown.time_since_epoch() - hours(2));
    const sys_seconds winter(shown.time_since_epoch() - hours(1));
    if (offset(summer) == hours(2)) {
      return summer;
    }
    return offset(winter) == hours(1) ? winter : spring;
  }

 private:
  static constexpr sys_seconds spring = sys_days(year(2026) / 3 / 29) + hours(1);
  static constexpr sys_seconds autumn = sys_days(year(2026) / 10 / 25) + hours(1);
  static hours offset(sys_seconds time) {
    return time >= spring && time < autumn ? hours(2) : hours(1);
  }
};

const Changing europe;
const policy::UtcZone utc;

WallTime at(int month, int day, int hour, int minute, int second = 0) {
  return WallTime(sys_days(year(2026) / month / day) + hours(hour) + minutes(minute) +
                  seconds(second));
}

std::string text_of(WallTime time) {
  const sys_days day = floor<days>(time);
  const year_month_day date(day);
  const auto second = floor<seconds>(time - day).count();
  const auto two = [](auto number) {
    const std::string text = std::to_string(number);
    return text.size() < 2 ? "0" + text : text;
  };
  return two(static_cast<int>(date.year())) + "-" + two(static_cast<unsigned>(date.month())) + "-" +
         two(static_cast<unsigned>(date.day())) + " " + two(second / 3600) + ":" +
         two(second / 60 % 60) + ":" + two(second % 60);
}

std::vector<std::string> ticks(const char* expression, const policy::Zone& zone, WallTime after,
                               int count) {
  const auto cron = Cron::parse(expression);
  REQUIRE_MESSAGE(cron, expression);
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) {
    after = next_tick(*cron, zone, after);
    out.push_back(text_of(after));
  }
  return out;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("a tick is later than the moment that was asked for, and on a whole minute") {
  CHECK(ticks("*/5 * * * *", utc, at(1, 1, 0, 0), 2) ==
        Texts{"2026-01-01 00:05:00", "2026-01-01 00:10:00"});
  CHECK(ticks("*/5 * * * *", utc, at(1, 1, 0, 4, 59), 1) == Texts{"2026-01-01 00:05:00"});
  CHECK(ticks("0 2 * * *", utc, at(1, 1, 2, 0), 1) == Texts{"2026-01-02 02:00:00"});
  CHECK(ticks("0 2 * * *", utc, at(1, 1, 1, 59, 59), 1) == Texts{"2026-01-01 02:00:00"});
  CHECK(ticks("5 4 29 2 *", utc, at(1, 1, 0, 0), 2) ==
        Texts{"2028-02-29 04:05:00", "2032-02-29 04:05:00"});
  CHECK(ticks("0 9 * * 4", utc, at(11, 30, 0, 0), 2) ==
        Texts{"2026-12-03 09:00:00", "2026-12-10 09:00:00"});
}

TEST_CASE("an hour is the one that the zone's clocks show, in summer and in winter") {
  CHECK(ticks("0 6 * * *", europe, at(1, 10, 0, 0), 1) == Texts{"2026-01-10 05:00:00"});
  CHECK(ticks("0 6 * * *", europe, at(7, 10, 0, 0), 1) == Texts{"2026-07-10 04:00:00"});
}

TEST_CASE("what the clocks skip comes when they skip it, once") {
  CHECK(ticks("30 2 * * *", europe, at(3, 28, 12, 0), 2) ==
        Texts{"2026-03-29 01:00:00", "2026-03-30 00:30:00"});
  CHECK(ticks("0,30 2,3 * * *", europe, at(3, 28, 12, 0), 3) ==
        Texts{"2026-03-29 01:00:00", "2026-03-29 01:30:00", "2026-03-30 00:00:00"});
}

TEST_CASE("what the clocks show twice comes once") {
  CHECK(ticks("30 2 * * *", europe, at(10, 24, 12, 0), 2) ==
        Texts{"2026-10-25 00:30:00", "2026-10-26 01:30:00"});
  // Asked between the two.
  CHECK(ticks("30 2 * * *", europe, at(10, 25, 1, 10), 1) == Texts{"2026-10-26 01:30:00"});
}

TEST_CASE("what is for every hour goes by the minutes that pass") {
  CHECK(ticks("0 * * * *", europe, at(3, 29, 0, 0), 2) ==
        Texts{"2026-03-29 01:00:00", "2026-03-29 02:00:00"});
  CHECK(ticks("0 * * * *", europe, at(10, 24, 23, 30), 4) ==
        Texts{"2026-10-25 00:00:00", "2026-10-25 01:00:00", "2026-10-25 02:00:00",
              "2026-10-25 03:00:00"});
  CHECK(ticks("*/30 * 26 10 *", europe, at(10, 24, 0, 0), 1) == Texts{"2026-10-25 23:00:00"});
}

TEST_CASE("a period is counted from where it began") {
  const model::PeriodSchedule five_hours{.hours = 5};
  CHECK(text_of(next_tick(five_hours, at(1, 1, 1, 0), at(1, 1, 1, 0))) == "2026-01-01 06:00:00");
  CHECK(text_of(next_tick(five_hours, at(1, 1, 1, 0), at(1, 1, 6, 0))) == "2026-01-01 11:00:00");
  CHECK(text_of(next_tick(five_hours, at(1, 1, 1, 0), at(1, 9, 0, 0))) == "2026-01-09 04:00:00");
  CHECK(text_of(next_tick(five_hours, at(5, 1, 1, 0), at(1, 1, 0, 0))) == "2026-05-01 06:00:00");
  const model::PeriodSchedule pi{.seconds = 3.14159};
  CHECK(next_tick(pi, at(1, 1, 0, 0), at(1, 1, 0, 0, 4)) ==
        at(1, 1, 0, 0) + microseconds(2 * 3'141'590));
  // Decades of seconds are no more work than one.
  const model::PeriodSchedule second{.seconds = 1};
  CHECK(next_tick(second, WallTime{}, at(1, 1, 0, 0)) == at(1, 1, 0, 0, 1));
}

TEST_CASE("a month is the same day of the next one, or its last") {
  const model::PeriodSchedule month{.months = 1};
  CHECK(text_of(next_tick(month, at(1, 31, 8, 0), at(1, 31, 8, 0))) == "2026-02-28 08:00:00");
  CHECK(text_of(next_tick(month, at(1, 31, 8, 0), at(2, 28, 8, 0))) == "2026-03-31 08:00:00");
  const model::PeriodSchedule year{.years = 1, .days = 1};
  CHECK(text_of(next_tick(year, at(1, 1, 0, 0), at(1, 1, 0, 0))) == "2027-01-02 00:00:00");
}

TEST_CASE("a period that is none is refused") {
  CHECK(policy::check({.seconds = 1}));
  CHECK(policy::check({.years = 1}));
  CHECK_FALSE(policy::check({}));
  CHECK_FALSE(policy::check({.seconds = 0.999}));
  CHECK_FALSE(policy::check({.days = 1, .hours = -1}));
  CHECK_FALSE(policy::check({.days = 2'000'000'000}));
  CHECK_FALSE(policy::check({.months = 2'000'000'000}));
  CHECK_FALSE(policy::check({.months = 1, .weeks = 16'000'000}));
  CHECK_FALSE(policy::check({.weeks = 52'001}));
  const model::PeriodSchedule longest{1'000, 12'000, 52'000, 366'000, 8'784'000, 527'040'000, 3e10};
  CHECK(policy::check(longest));
  CHECK(next_tick(longest, at(1, 1, 0, 0), at(1, 1, 0, 0)) > at(12, 31, 0, 0));
  CHECK_FALSE(policy::check({.seconds = std::numeric_limits<double>::quiet_NaN()}));
  CHECK_FALSE(policy::check({.seconds = std::numeric_limits<double>::infinity()}));
}

TEST_CASE("of the ticks that were missed the last one counts, unless it is long ago") {
  const auto cron = Cron::parse("0 * * * *");
  const auto next = [&cron](WallTime after) { return next_tick(*cron, utc, after); };
  const auto missed = [&next](WallTime due, WallTime now) {
    return policy::last_missed(due, now, 1h, next);
  };
  CHECK(missed(at(1, 1, 3, 0), at(1, 1, 3, 0)) == at(1, 1, 3, 0));
  CHECK(missed(at(1, 1, 3, 0), at(1, 1, 9, 30)) == at(1, 1, 9, 0));
  const auto daily = [](WallTime after) {
    return next_tick(model::PeriodSchedule{.days = 1}, at(1, 1, 3, 0), after);
  };
  CHECK(policy::last_missed(at(1, 2, 3, 0), at(1, 4, 9, 0), 1h, daily) == std::nullopt);
  CHECK(policy::last_missed(at(1, 2, 3, 0), at(1, 4, 3, 59), 1h, daily) == at(1, 4, 3, 0));
  // Also where ticks do not go on.
  const auto still = [](WallTime after) { return after; };
  CHECK(policy::last_missed(at(1, 1, 3, 0), at(1, 1, 3, 1), 1h, still) == at(1, 1, 3, 0));
}
