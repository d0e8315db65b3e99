// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/cron.h"

#include <array>
#include <cctype>
#include <charconv>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace thaw::policy {

namespace {

constexpr std::size_t longest_text = 1'000;

struct Field {
  const char* name;
  unsigned least;
  unsigned most;
  std::span<const std::string_view> words;  // the first is `least`
};

constexpr std::array<std::string_view, 12> month_words = {"jan", "feb", "mar", "apr", "may", "jun",
                                                          "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> day_words = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> names = {
    {{"@hourly", "0 * * * *"},
     {"@daily", "0 0 * * *"},
     {"@midnight", "0 0 * * *"},
     {"@weekly", "0 0 * * 0"},
     {"@monthly", "0 0 1 * *"},
     {"@yearly", "0 0 1 1 *"},
     {"@annually", "0 0 1 1 *"}}};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return out;
}

std::optional<unsigned> number_of(const Field& field, std::string_view text) {
  for (std::size_t i = 0; i < field.words.size(); ++i) {
    if (field.words[i] == text) {
      return field.least + static_cast<unsigned>(i);
    }
  }
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const bool is_number = error == std::errc() && rest == end && !text.empty();
  return is_number && value >= field.least && value <= field.most ? std::optional(value)
                                                                  : std::nullopt;
}

Error wrong(const Field& field, std::string_view part) {
  return Error::invalid_argument(std::string(field.name) + ": '" + std::string(part) +
                                 "' is none of its numbers, " + std::to_string(field.least) +
                                 " to " + std::to_string(field.most) +
                                 ", a range (1-5), a step (*/5) or a list of them (1,3)");
}

// One part of a list: "*", "5", "1-5", each perhaps with "/2" behind it.
Result<void> read_part(const Field& field, std::string_view part, std::vector<bool>& out) {
  const std::size_t slash = std::min(part.find('/'), part.size());
  const std::string_view range = part.substr(0, slash);
  unsigned first = field.least;
  unsigned last = field.most;
  if (range != "*") {
    const std::size_t dash = std::min(range.find('-'), range.size());
    const auto from = number_of(field, range.substr(0, dash));
    const auto to = dash < range.size() ? number_of(field, range.substr(dash + 1)) : from;
    if (!from || !to || *to < *from) {
      return wrong(field, part);
    }
    first = *from;
    // "5/15" is "5-59/15".
    last = dash == range.size() && slash < part.size() ? field.most : *to;
  }
  unsigned step = 1;
  if (slash < part.size()) {
    const std::string_view text = part.substr(slash + 1);
    const char* end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, step);
    if (error != std::errc() || rest != end || text.empty() || step == 0 || step > field.most) {
      return wrong(field, part);
    }
  }
  for (unsigned value = first; value <= last; value += step) {
    out[value] = true;
  }
  return ok();
}

Result<std::vector<bool>> read_field(const Field& field, std::string_view text) {
  std::vector<bool> out(field.most + 1);
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    THAW_TRY_VOID(read_part(field, text.substr(0, comma), out));
    if (comma == text.size()) {
      return out;
    }
    text.remove_prefix(comma + 1);
  }
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  while (true) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) {
      return words;
    }
    const std::size_t last = std::min(text.find_first_of(" \t", first), text.size());
    words.push_back(lower(text.substr(first, last - first)));
    text.remove_prefix(last);
  }
}

template <std::size_t N>
void take(const std::vector<bool>& from, std::bitset<N>& to) {
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i]) {
      to.set(i % N);
    }
  }
}

}  // namespace

Result<Cron> Cron::parse(std::string_view text) {
  if (text.size() > longest_text) {
    return Error::invalid_argument("a cron expression has at most " + std::to_string(longest_text) +
                                   " characters");
  }
  std::vector<std::string> words = words_of(text);
  if (words.size() == 1) {
    for (const auto& [name, meaning] : names) {
      if (words[0] == name) {
        words = words_of(meaning);
        break;
      }
    }
  }
  if (words.size() != 5) {
    return Error::invalid_argument(
        "'" + std::string(text) +
        "' is no cron expression: five fields are wanted (minute, hour, day of the month, month, "
        "day of the week), or one of @hourly, @daily, @weekly, @monthly, @yearly");
  }
  Cron cron;
  THAW_TRY(const auto minutes, read_field({"minute", 0, 59, {}}, words[0]));
  THAW_TRY(const auto hours, read_field({"hour", 0, 23, {}}, words[1]));
  THAW_TRY(const auto days, read_field({"day of the month", 1, 31, {}}, words[2]));
  THAW_TRY(const auto months, read_field({"month", 1, 12, month_words}, words[3]));
  THAW_TRY(const auto weekdays, read_field({"day of the week", 0, 7, day_words}, words[4]));
  take(minutes, cron.minutes_);
  take(hours, cron.hours_);
  take(days, cron.days_);
  take(months, cron.months_);
  take(weekdays, cron.weekdays_);  // 7 becomes 0
  cron.any_day_ = words[2].starts_with('*');
  cron.any_weekday_ = words[4].starts_with('*');
  // Within 28 years every day of the week has come on every day of every month, but for a 29th of
  // February that a century leaves out.
  const std::chrono::sys_days begin = std::chrono::year(2000) / 1 / 1;
  for (int day = 0; day < 28 * 366; ++day) {
    if (cron.has_day(begin + std::chrono::days(day))) {
      return cron;
    }
  }
  return Error::invalid_argument("'" + std::string(text) + "' never comes: no month has that day");
}

bool Cron::has_day(std::chrono::year_month_day day) const {
  if (!months_[static_cast<unsigned>(day.month())]) {
    return false;
  }
  const bool day_matches = days_[static_cast<unsigned>(day.day())];
  const std::chrono::weekday weekday{std::chrono::sys_days(day)};
  const bool weekday_matches = weekdays_[weekday.c_encoding()];
  return any_day_ || any_weekday_ ? day_matches && weekday_matches : day_matches || weekday_matches;
}

}  // namespace thaw::policy
