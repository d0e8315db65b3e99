// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/levels.h"

#include <algorithm>

#include "thaw/policy/backoff.h"

namespace thaw::policy {

namespace {

using model::Level;

// How often a slower level is measured again: once in so many starts of the version.
constexpr std::uint64_t explore_every = 50;
// A level this much slower than the best is not tried for the sake of knowledge.
constexpr int explore_within = 3;
// Machines are busier at one moment than at another: one start that took longer than another did
// says little. So many that took so much longer do.
constexpr std::uint64_t sure_after = 3;
constexpr int clearly_slower = 2;

Duration time_of(const LevelRecords& records, Level level) {
  const LevelRecord& record = records.of(level);
  return record.time > Duration::zero() ? record.time : usual_start(level);
}

bool backs_off(const LevelRecord& record, Instant now) {
  return record.failures > 0 && now < record.last_failure + backoff(record.failures, 5s, 10min);
}

// A level that was measured long ago, while it was not hopelessly behind.
bool due_for_a_look(const LevelRecords& records, Level level, Duration best) {
  const LevelRecord& record = records.of(level);
  return record.since_start >= explore_every && time_of(records, level) <= best * explore_within;
}

}  // namespace

Duration usual_start(Level level) {
  switch (level) {
    case Level::warm: return 1ms;
    case Level::frozen: return 2ms;
    case Level::forked: return 50ms;
    case Level::restored: return 100ms;
    case Level::booted: return 500ms;
  }
  return 500ms;
}

std::vector<Level> order_levels(const LevelRecords& records, const std::vector<Level>& offered,
                                Instant now) {
  std::vector<Level> good;
  std::vector<Level> failed;
  for (const Level level : {Level::forked, Level::restored}) {
    if (std::find(offered.begin(), offered.end(), level) != offered.end()) {
      (backs_off(records.of(level), now) ? failed : good).push_back(level);
    }
  }
  const auto faster = [&](Level a, Level b) { return time_of(records, a) < time_of(records, b); };
  std::stable_sort(good.begin(), good.end(), faster);
  if (good.size() > 1 && due_for_a_look(records, good[1], time_of(records, good[0]))) {
    std::swap(good[0], good[1]);
  }
  // A level that is clearly slower than booting is not worth a try, except to measure it again.
  std::erase_if(good, [&](Level level) {
    const LevelRecord& record = records.of(level);
    const LevelRecord& booted = records.of(Level::booted);
    return record.starts >= sure_after && booted.starts > 0 &&
           record.time > booted.time * clearly_slower && record.since_start < explore_every;
  });
  // One that failed is left out while others are there; it comes back when its back-off is over.
  if (good.empty() && !failed.empty() && records.of(failed.front()).failures < 2) {
    good = std::move(failed);
  }
  good.push_back(Level::booted);
  return good;
}

Duration expected_start(const LevelRecords& records, const std::vector<Level>& order) {
  return time_of(records, order.empty() ? Level::booted : order.front());
}

bool is_worth_restoring(Duration booted, Duration restored) {
  constexpr Duration least_gain = 20ms;
  return booted - restored >= least_gain && booted * 2 >= restored * 3;
}

bool has_restored_in_vain(const LevelRecords& records) {
  const LevelRecord& booted = records.of(Level::booted);
  const LevelRecord& restored = records.of(Level::restored);
  return booted.starts > 0 && restored.starts >= sure_after &&
         !is_worth_restoring(booted.time, restored.time);
}

}  // namespace thaw::policy
