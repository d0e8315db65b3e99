// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/cron.h"

#include <doctest/doctest.h>

#include <string>

using namespace thaw;
using namespace std::chrono;
using policy::Cron;

namespace {

Cron cron(const char* text) {
  auto read = Cron::parse(text);
  REQUIRE_MESSAGE(read, text);
  return *read;
}

std::string minutes_of(const char* text) {
  const Cron one = cron(text);
  std::string out;
  for (unsigned minute = 0; minute < 60; ++minute) {
    if (one.has_minute(minute)) {
      out += (out.empty() ? "" : " ") + std::to_string(minute);
    }
  }
  return out;
}

bool has(const char* text, int year, unsigned month, unsigned day) {
  return cron(text).has_day(std::chrono::year(year) / month / day);
}

}  // namespace

TEST_CASE("a field of a cron expression is numbers, ranges, steps and lists of them") {
  CHECK(minutes_of("*/15 * * * *") == "0 15 30 45");
  CHECK(minutes_of("5 * * * *") == "5");
  CHECK(minutes_of("50/5 * * * *") == "50 55");
  CHECK(minutes_of("1-4,58 * * * *") == "1 2 3 4 58");
  CHECK(minutes_of("10-20/5,0 * * * *") == "0 10 15 20");
  CHECK(minutes_of("  7\t* *  * * ") == "7");
  CHECK(minutes_of("@daily") == "0");
  CHECK(cron("* * * * *").is_every_hour());
  CHECK(cron("@hourly").is_every_hour());
  CHECK_FALSE(cron("0 0-22 * * *").is_every_hour());
}

TEST_CASE("months and days have names, and Sunday two numbers") {
  CHECK(has("0 0 * JAN *", 2026, 1, 15));
  CHECK_FALSE(has("0 0 * jan *", 2026, 2, 15));
  CHECK(has("0 0 * * mon-fri", 2026, 11, 30));        // a Monday
  CHECK_FALSE(has("0 0 * * mon-fri", 2026, 11, 29));  // a Sunday
  CHECK(has("0 0 * * 7", 2026, 11, 29));
  CHECK(has("0 0 * * 0", 2026, 11, 29));
  CHECK(has("@weekly", 2026, 11, 29));
  CHECK(has("0 0 29 2 *", 2028, 2, 29));
}

TEST_CASE("of two days that are named one is enough; beside a star it is that one") {
  // The 13th, or any Friday.
  CHECK(has("0 0 13 * 5", 2026, 10, 13));  // a Tuesday
  CHECK(has("0 0 13 * 5", 2026, 10, 16));  // a Friday
  CHECK_FALSE(has("0 0 13 * 5", 2026, 10, 14));
  CHECK_FALSE(has("0 0 13 * *", 2026, 10, 16));
  CHECK_FALSE(has("0 0 * * 5", 2026, 10, 13));
  // crontab(5): a field that begins with a star does not count as named.
  CHECK(has("0 0 */2 * 5", 2026, 10, 23));
  CHECK_FALSE(has("0 0 */2 * 5", 2026, 10, 16));
}

TEST_CASE("what is no cron expression says what one is") {
  for (const char* text : {"",
                           "*",
                           "* * * *",
                           "* * * * * *",
                           "60 * * * *",
                           "* 24 * * *",
                           "* * 0 * *",
                           "* * 32 * *",
                           "* * * 13 *",
                           "* * * * 8",
                           "5-1 * * * *",
                           "*/0 * * * *",
                           "*/x * * * *",
                           "1,,2 * * * *",
                           "- * * * *",
                           "1- * * * *",
                           "/5 * * * *",
                           "-1 * * * *",
                           "1e3 * * * *",
                           "@reboot",
                           "monday * * * *",
                           "4294967297 * * * *",
                           "* * 30 2 *",
                           "* * 31 4,6,9,11 *"}) {
    const auto read = Cron::parse(text);
    CHECK_MESSAGE(!read, text);
    if (!read) {
      CHECK(read.error().code() == Code::invalid_argument);
    }
  }
  CHECK_FALSE(Cron::parse(std::string(2'000, '*')));
  CHECK(Cron::parse("61 * * * *").error().message().find("minute: '61'") == 0);
}
