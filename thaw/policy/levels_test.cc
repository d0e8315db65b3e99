// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/levels.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace thaw;
using model::Level;
using policy::LevelRecords;
using policy::order_levels;

namespace {

using Order = std::vector<Level>;
const Instant noon{std::chrono::hours(12)};
const Order both = {Level::forked, Level::restored};

void started(LevelRecords& records, Level level, Duration time) {
  records.of(level).starts = 3;
  records.of(level).time = time;
}

}  // namespace

TEST_CASE("without measurements a fork comes before a restore, and booting last") {
  CHECK(order_levels({}, both, noon) == Order{Level::forked, Level::restored, Level::booted});
  CHECK(order_levels({}, {Level::restored}, noon) == Order{Level::restored, Level::booted});
  CHECK(order_levels({}, {}, noon) == Order{Level::booted});
}

TEST_CASE("a restore that skips a long init comes before a fork") {
  LevelRecords records;
  started(records, Level::forked, 4s);
  CHECK(order_levels(records, both, noon).front() == Level::restored);
  started(records, Level::restored, 6s);
  CHECK(order_levels(records, both, noon).front() == Level::forked);
}

TEST_CASE("a level that is clearly slower than booting is left out, and measured again later") {
  LevelRecords records;
  started(records, Level::restored, 900ms);
  started(records, Level::booted, 400ms);
  CHECK(order_levels(records, {Level::restored}, noon) == Order{Level::booted});
  records.of(Level::restored).since_start = 50;
  CHECK(order_levels(records, {Level::restored}, noon) == Order{Level::restored, Level::booted});
}

TEST_CASE("a level that was slower once, or a little slower, is tried all the same") {
  LevelRecords records;
  started(records, Level::booted, 400ms);
  started(records, Level::restored, 700ms);
  CHECK(order_levels(records, {Level::restored}, noon).front() == Level::restored);
  records.of(Level::restored).time = 4s;
  CHECK(order_levels(records, {Level::restored}, noon).front() == Level::booted);
  records.of(Level::restored).starts = 1;
  CHECK(order_levels(records, {Level::restored}, noon).front() == Level::restored);
}

TEST_CASE("the slower of two levels is looked at now and then, unless it is hopeless") {
  LevelRecords records;
  started(records, Level::forked, 30ms);
  started(records, Level::restored, 60ms);
  CHECK(order_levels(records, both, noon).front() == Level::forked);
  records.of(Level::restored).since_start = 50;
  CHECK(order_levels(records, both, noon).front() == Level::restored);
  records.of(Level::restored).time = 600ms;
  CHECK(order_levels(records, both, noon).front() == Level::forked);
}

TEST_CASE("a level that failed waits, the longer the more often it failed") {
  LevelRecords records;
  records.of(Level::forked).failures = 1;
  records.of(Level::forked).last_failure = noon;
  CHECK(order_levels(records, both, noon + 1s) == Order{Level::restored, Level::booted});
  CHECK(order_levels(records, both, noon + 6s).front() == Level::forked);
  records.of(Level::forked).failures = 4;
  CHECK(order_levels(records, both, noon + 6s) == Order{Level::restored, Level::booted});
  CHECK(order_levels(records, both, noon + 60s).front() == Level::forked);
}

TEST_CASE("whatever was measured: booted is last, each level once, only what was offered") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2000; ++round) {
    LevelRecords records;
    for (auto& record : records.all) {
      record.starts = random() % 3;
      record.time = record.starts == 0 ? Duration::zero() : Duration(random() % 3'000'000'000);
      record.failures = static_cast<int>(random() % 4);
      record.last_failure = noon - Duration(random() % 100'000'000'000);
      record.since_start = random() % 100;
    }
    Order offered;
    for (const Level level : both) {
      if (random() % 2 == 0) {
        offered.push_back(level);
      }
    }
    const Order order = order_levels(records, offered, noon);
    CHECK(order == order_levels(records, offered, noon));
    REQUIRE(!order.empty());
    CHECK(order.back() == Level::booted);
    std::set<Level> seen(order.begin(), order.end());
    CHECK(seen.size() == order.size());
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
      CHECK(std::find(offered.begin(), offered.end(), order[i]) != offered.end());
    }
    CHECK(policy::expected_start(records, order) > Duration::zero());
  }
}

TEST_CASE("a restore is worth it if it is clearly faster than a boot") {
  struct Row {
    Duration booted, restored;
    bool is_worth_it;
  };
  const Row rows[] = {
      {1000ms, 20ms, true},    // loads a model
      {100ms, 15ms, true},     // an interpreter
      {60ms, 27ms, true},      //
      {22ms, 1ms, true},       //
      {17ms, 18ms, false},     // slower
      {10ms, 8ms, false},      // no gain that anybody sees
      {19ms, 0ms, false},      // whatever a restore takes
      {1000ms, 900ms, false},  // within what a busy machine does to both
      {900ms, 610ms, false},   //
      {20ms, 0ms, true},       //
  };
  for (const Row& row : rows) {
    CAPTURE(to_ms(row.booted));
    CAPTURE(to_ms(row.restored));
    CHECK(policy::is_worth_restoring(row.booted, row.restored) == row.is_worth_it);
  }
}

TEST_CASE("a few restores that gained nothing are enough, one is not") {
  LevelRecords records;
  CHECK(!policy::has_restored_in_vain(records));
  started(records, Level::booted, 30ms);
  started(records, Level::restored, 60ms);
  CHECK(policy::has_restored_in_vain(records));
  records.of(Level::restored).starts = 1;
  CHECK(!policy::has_restored_in_vain(records));
  started(records, Level::booted, 1s);
  started(records, Level::restored, 60ms);
  CHECK(!policy::has_restored_in_vain(records));
}
