// SPDX-License-Identifier: Apache-2.0
//
// Cron: which minutes of a calendar an expression names. The language is that of crontab(5): five
// fields (minute, hour, day of the month, month, day of the week), in each "*", numbers, ranges,
// steps and lists; names of months and days; 7 is Sunday too; and "@hourly", "@daily", "@midnight",
// "@weekly", "@monthly", "@yearly", "@annually". Where both days are restricted, one that matches
// is enough, as crontab(5) says. Pure.
#pragma once

#include <bitset>
#include <chrono>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::policy {

class Cron {
 public:
  // invalid_argument names the field and what it may be; also for what never comes, such as the
  // 30th of February.
  static Result<Cron> parse(std::string_view text);

  bool has_day(std::chrono::year_month_day day) const;
  bool has_hour(unsigned hour) const { return hours_[hour]; }
  bool has_minute(unsigned minute) const { return minutes_[minute]; }
  // It goes by how much time has passed rather than by what the clocks show: a day on which they
  // are changed has as many of its minutes as it has hours.
  bool is_every_hour() const { return hours_.all(); }

 private:
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = true;  // that field begins with "*"
  bool any_weekday_ = true;
};

}  // namespace thaw::policy
