// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/standby.h"

#include <doctest/doctest.h>

#include <numeric>

using namespace thaw;
using namespace thaw::policy;

namespace {

constexpr std::uint64_t mb = std::uint64_t{1} << 20;
constexpr Instant now{Duration(10h)};

StandbyCandidate called(Duration ago, const std::string& function = "fu-1",
                        const std::string& workspace = "ann") {
  StandbyCandidate candidate;
  candidate.workspace = workspace;
  candidate.function = function;
  candidate.last_called = now - ago;
  candidate.bytes = 8 * mb;
  candidate.room = 100;
  return candidate;
}

StandbyMachine machine() {
  StandbyMachine machine;
  machine.now = now;
  machine.memory_bytes = 8192 * mb;
  machine.available_bytes = 6000 * mb;
  machine.most = 200;
  return machine;
}

std::size_t plan_one(const StandbyCandidate& candidate, const StandbyMachine& on = machine(),
                     const StandbyRules& rules = {}) {
  return plan_standbys({candidate}, rules, on).at(0);
}

std::size_t sum(const std::vector<std::size_t>& plan) {
  return std::accumulate(plan.begin(), plan.end(), std::size_t{0});
}

}  // namespace

TEST_CASE("one stands by for a version that was called of late, and none for another") {
  struct Row {
    const char* what;
    Duration ago;
    Duration unused;
    std::size_t stand_by;
  };
  for (const Row& row : {Row{"called just now", 0s, 30min, 1},
                         {"a while ago", 29min, 30min, 1},
                         {"too long ago", 30min, 30min, 0},
                         {"switched off", 0s, 0s, 0}}) {
    CAPTURE(row.what);
    StandbyRules rules;
    rules.unused = row.unused;
    CHECK(plan_one(called(row.ago), machine(), rules) == row.stand_by);
  }
  StandbyCandidate never = called(0s);
  never.last_called = Instant{};
  CHECK(plan_one(never) == 0);
}

TEST_CASE("as many stand by as calls have wanted at once, four at most, within what is allowed") {
  struct Row {
    std::size_t at_once;
    std::size_t room;
    std::size_t stand_by;
  };
  for (const Row& row :
       {Row{0, 100, 1}, {1, 100, 1}, {3, 100, 3}, {50, 100, 4}, {3, 2, 2}, {3, 0, 0}}) {
    CAPTURE(row.at_once);
    CAPTURE(row.room);
    StandbyCandidate candidate = called(1min);
    candidate.at_once = row.at_once;
    candidate.room = row.room;
    CHECK(plan_one(candidate) == row.stand_by);
  }
}

TEST_CASE("versions of a function share what it may have") {
  StandbyCandidate one = called(1min);
  one.room = 1;
  StandbyCandidate other = called(2min);
  other.room = 1;
  CHECK(plan_standbys({other, one}, {}, machine()) == std::vector<std::size_t>{0, 1});
}

TEST_CASE("what holds too much does not stand by; what was not measured is tried") {
  StandbyCandidate candidate = called(1min);
  candidate.bytes = 64 * mb;
  CHECK(plan_one(candidate) == 1);
  candidate.bytes = 65 * mb;
  CHECK(plan_one(candidate) == 0);
  candidate.bytes = 0;
  CHECK(plan_one(candidate) == 1);
}

TEST_CASE("where memory is short none stand by, and where it is scarce no more than there are") {
  struct Row {
    std::uint64_t available_mb;
    std::size_t have;
    std::size_t stand_by;
  };
  for (const Row& row : {Row{2048, 0, 1}, {2047, 0, 0}, {2047, 1, 1}, {1024, 1, 1}, {1023, 1, 0}}) {
    CAPTURE(row.available_mb);
    StandbyMachine on = machine();
    on.available_bytes = row.available_mb * mb;
    StandbyCandidate candidate = called(1min);
    candidate.have = row.have;
    CHECK(plan_one(candidate, on) == row.stand_by);
  }
  StandbyMachine unknown = machine();
  unknown.memory_bytes = unknown.available_bytes = 0;
  CHECK(plan_one(called(1min), unknown) == 0);
}

TEST_CASE("they have a part of the machine's memory and of its free places") {
  std::vector<StandbyCandidate> many;
  for (int i = 0; i < 100; ++i) {
    many.push_back(called(1min, "fu-" + std::to_string(i)));
    many.back().at_once = 4;
  }
  // A thirty-second part of 8 GB, 8 MB each.
  CHECK(sum(plan_standbys(many, {}, machine())) == 32);
  StandbyMachine small = machine();
  small.most = 12;
  CHECK(sum(plan_standbys(many, {}, small)) == 3);
  small.serving = 8;
  CHECK(sum(plan_standbys(many, {}, small)) == 1);
  small.serving = 12;
  CHECK(sum(plan_standbys(many, {}, small)) == 0);
}

TEST_CASE("one workspace has half of it at most, and who was called last comes first") {
  std::vector<StandbyCandidate> both;
  for (int i = 0; i < 100; ++i) {
    both.push_back(called(Duration(i * 1s), "fu-a" + std::to_string(i), "ann"));
  }
  both.push_back(called(10min, "fu-b", "bob"));
  StandbyMachine shared = machine();
  shared.is_shared = true;
  const std::vector<std::size_t> plan = plan_standbys(both, {}, shared);
  CHECK(sum({plan.begin(), plan.begin() + 100}) == 16);
  CHECK(sum({plan.begin(), plan.begin() + 16}) == 16);
  CHECK(plan.back() == 1);
}

TEST_CASE("everybody's first one comes before anybody's second") {
  StandbyCandidate greedy = called(0s, "fu-1");
  greedy.at_once = 4;
  StandbyMachine small = machine();
  small.most = 8;
  CHECK(plan_standbys({greedy, called(1min, "fu-2")}, {}, small) == std::vector<std::size_t>{1, 1});
}
