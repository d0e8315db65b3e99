// SPDX-License-Identifier: Apache-2.0
//
// A schedule says when a function is called by the server itself. Plain values.
#pragma once

#include <string>
#include <variant>

namespace thaw::model {

// By the clocks of a time zone: the five fields of crontab(5), or "@daily" and the like.
struct CronSchedule {
  std::string expression;
  std::string zone;  // of the tz database ("America/New_York"); empty: UTC
  friend bool operator==(const CronSchedule&, const CronSchedule&) = default;
};

// Again and again, first a period after the function was published. Calendar parts are counted in
// UTC: months=1 is the same day of each month (its last one, where it is shorter).
struct PeriodSchedule {
  int years = 0;
  int months = 0;
  int weeks = 0;
  int days = 0;
  int hours = 0;
  int minutes = 0;
  double seconds = 0;
  friend bool operator==(const PeriodSchedule&, const PeriodSchedule&) = default;
};

using Schedule = std::variant<CronSchedule, PeriodSchedule>;

}  // namespace thaw::model
