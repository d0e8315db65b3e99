// SPDX-License-Identifier: Apache-2.0
//
// Expressions of cron and periods. The next tick is later, is one that the expression names, and
// there is none between: minute after minute is looked at to say so. The first byte says which of
// both it is; the next eight, from when on.
#include <algorithm>

#include "tests/fuzz/target.h"
#include "thaw/policy/schedule.h"

namespace thaw::fuzz {

namespace {

using namespace std::chrono;

constexpr WallTime year_2000{seconds(946'684'800)};

bool is_tick(const policy::Cron& cron, WallTime time) {
  const auto day = floor<days>(time);
  const auto minute = duration_cast<minutes>(time - day).count();
  return cron.has_day(year_month_day(day)) && cron.has_hour(static_cast<unsigned>(minute / 60)) &&
         cron.has_minute(static_cast<unsigned>(minute % 60));
}

void check_cron(std::string_view text, WallTime after) {
  const auto cron = policy::Cron::parse(text);
  if (!cron) {
    expect_sentence(cron.error());
    return;
  }
  const WallTime tick = policy::next_tick(*cron, policy::UtcZone(), after);
  expect(tick > after, "a tick is later");
  if (tick == WallTime::max()) {
    return;
  }
  expect(is_tick(*cron, tick) && tick == floor<minutes>(tick), "a tick is one that is named");
  constexpr minutes looked_at = hours(36);
  for (WallTime time = floor<minutes>(after) + minutes(1);
       time < std::min<WallTime>(tick, after + looked_at); time += minutes(1)) {
    expect(!is_tick(*cron, time), "there is none before the next");
  }
}

void check_period(Bytes bytes, WallTime after) {
  const auto part = [&bytes] { return static_cast<int>(bytes.number()) >> (bytes.byte() % 32); };
  model::PeriodSchedule period;
  for (int* value : {&period.years, &period.months, &period.weeks, &period.days, &period.hours,
                     &period.minutes}) {
    *value = part();
  }
  period.seconds = part() / 16.0;
  if (const Result<void> checked = policy::check(period); !checked) {
    expect_sentence(checked.error());
    return;
  }
  const WallTime tick = policy::next_tick(period, year_2000, after);
  expect(tick > after && tick > year_2000, "a tick is later than its beginning and than now");
  if (tick < year_2000 + hours(24 * 366 * 50)) {
    expect(policy::next_tick(period, year_2000, tick) > tick, "and there is another one");
  }
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input.substr(0, 1024));
  const bool is_cron = bytes.byte() % 2 == 0;
  // Within a century.
  const WallTime after = year_2000 + microseconds(bytes.number() % 3'155'760'000'000'000);
  if (is_cron) {
    check_cron(bytes.rest(), after);
  } else {
    check_period(bytes, after);
  }
}

}  // namespace thaw::fuzz
