// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/price.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <limits>

namespace thaw::policy {

namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t billion = 1'000'000'000;
constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t gigabyte = std::int64_t{1} << 30;
constexpr std::int64_t hour_us = 3'600 * million;

// A sum of amounts times prices, in millionths of billionths.
Wide exact(const Used& used, const PriceTable& table) {
  Wide sum = 0;
  if (used.as == Used::As::kept_warm) {
    sum += Wide{used.us} * table.keep_warm_hour * million / hour_us;
  } else if (used.as != Used::As::background) {
    sum += Wide{used.calls} * table.per_call * million + Wide{used.us} * table.second;
  }
  sum += Wide{used.cpu_us} * table.cpu_second;
  sum += Wide{used.byte_seconds} * table.gb_second * million / gigabyte;
  sum += Wide{used.frozen_byte_seconds} * table.frozen_gb_second * million / gigabyte;
  if (const auto gpu = table.gpu_second.find(used.gpu); gpu != table.gpu_second.end()) {
    sum += Wide{used.gpu_us} * gpu->second;
  }
  return sum * table.percent / 100;
}

}  // namespace

Money price(const Used& used, const PriceTable& table) {
  const Wide sum = exact(used, table);
  const Wide whole = (sum + million / 2) / million;
  return static_cast<Money>(std::clamp<Wide>(whole, 0, std::numeric_limits<Money>::max()));
}

const PriceTable& Prices::on(std::int64_t day) const {
  static const PriceTable free;
  const PriceTable* found = &free;
  for (const PriceTable& table : tables) {
    found = table.from_day <= day ? &table : found;
  }
  return *found;
}

bool Prices::is_free() const {
  return std::all_of(tables.begin(), tables.end(), [](const PriceTable& table) {
    return table.per_call == 0 && table.second == 0 && table.cpu_second == 0 &&
           table.gb_second == 0 && table.frozen_gb_second == 0 && table.gpu_second.empty() &&
           table.keep_warm_hour == 0;
  });
}

Result<Money> parse_money(std::string_view text) {
  const auto wrong = [text] {
    return Error::invalid_argument("a price is a number such as 0.0000131, not '" +
                                   std::string(text.substr(0, 40)) + "'");
  };
  const std::size_t point = std::min(text.find('.'), text.size());
  const std::string_view whole = text.substr(0, point);
  std::string decimals(text.substr(std::min(point + 1, text.size())));
  if (whole.empty() || whole.size() > 9 || (point < text.size() && decimals.empty()) ||
      decimals.size() > 18 || whole.find_first_not_of("0123456789") != std::string_view::npos ||
      decimals.find_first_not_of("0123456789") != std::string::npos) {
    return wrong();
  }
  decimals.resize(9, '0');
  std::int64_t units = 0;
  std::int64_t parts = 0;
  std::from_chars(whole.data(), whole.data() + whole.size(), units);
  std::from_chars(decimals.data(), decimals.data() + decimals.size(), parts);
  return units * billion + parts;
}

Result<Money> parse_price(std::string_view text) {
  THAW_TRY(const Money price, parse_money(text));
  if (price >= million * billion) {
    return Error::invalid_argument("a price is less than a million");
  }
  return price;
}

std::string money_text(Money money, int decimals) {
  std::int64_t step = 1;
  for (int i = decimals; i < 9; ++i) {
    step *= 10;
  }
  const bool is_negative = money < 0;
  std::int64_t size = is_negative ? -money : money;
  if (size < std::numeric_limits<Money>::max() - step) {
    size = (size + step / 2) / step * step;
  }
  std::string parts = std::to_string(size % billion + billion).substr(1);
  parts.resize(static_cast<std::size_t>(std::max(decimals, 2)));
  while (parts.size() > 2 && parts.back() == '0') {
    parts.pop_back();
  }
  return (is_negative ? "-" : "") + std::to_string(size / billion) + "." + parts;
}

Result<std::int64_t> parse_day(std::string_view text) {
  const std::string copy(text.substr(0, 20));
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  int read = 0;
  const int found = std::sscanf(copy.c_str(), "%4d-%2u-%2u%n", &year, &month, &day, &read);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (found != 3 || static_cast<std::size_t>(read) != text.size() || !date.ok() || year < 1970) {
    return Error::invalid_argument("a day is written as 2026-12-01, not as '" + copy + "'");
  }
  return std::chrono::sys_days(date).time_since_epoch().count();
}

std::string day_text(std::int64_t day) {
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(day))};
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text;
}

}  // namespace thaw::policy
