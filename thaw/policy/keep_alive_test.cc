// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/keep_alive.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

using namespace thaw;
using policy::IdleHistory;
using policy::KeepAlivePlan;
using policy::KeepAliveReason;
using policy::Outlook;
using policy::plan_keep_alive;
using policy::WarmSpan;

namespace {

const WallTime monday{std::chrono::seconds(1563148800)};

WallTime later(WallTime at, Duration by) {
  return at + std::chrono::duration_cast<std::chrono::microseconds>(by);
}

// A function that is called after each of these gaps; calls take no time.
struct Life {
  IdleHistory history;
  WallTime now = monday;
  void gap(Duration length) {
    const WallTime at = later(now, length);
    history.arrived(now, at);
    now = at;
  }
  KeepAlivePlan plan(double price = 8) const {
    return plan_keep_alive({.price_per_gb = price}, Outlook(history, now), {});
  }
};

void check_well_formed(const KeepAlivePlan& plan, Duration longest) {
  CHECK(plan.spans.size() <= policy::most_spans);
  Duration end = -1ns;
  for (const WarmSpan& span : plan.spans) {
    CHECK(span.from > end);
    CHECK(span.until > span.from);
    CHECK(span.until <= longest);
    end = span.until;
  }
  CHECK(plan.window() >= Duration::zero());
}

}  // namespace

TEST_CASE("a window that the user asked for is obeyed exactly") {
  const KeepAlivePlan plan = policy::obey_window(7s);
  CHECK(plan.window() == 7s);
  CHECK(plan.warm_at(6999ms));
  CHECK(!plan.warm_at(7s));
  CHECK(!plan.ahead_of(0s));
  CHECK(plan.reason == KeepAliveReason::asked);
  CHECK(policy::obey_window(0s).window() == 0s);
}

TEST_CASE("an unknown function is kept for a while, not for days") {
  const KeepAlivePlan plan = Life{}.plan();
  CHECK(plan.reason == KeepAliveReason::few);
  CHECK(plan.window() > 1min);
  CHECK(plan.window() < 6h);
}

TEST_CASE("a function that is called every half minute is kept longer than that") {
  Life life;
  for (int i = 0; i < 50; ++i) {
    life.gap(25s + (i % 7) * 2s);
  }
  CHECK(life.plan().window() > 40s);
}

TEST_CASE("a timer is recognised: gone in between, there before the tick") {
  Life life;
  for (int i = 0; i < 8; ++i) {
    life.gap(1h);
  }
  const KeepAlivePlan plan = life.plan();
  CHECK(plan.reason == KeepAliveReason::beat);
  CHECK(plan.window() < 5min);
  CHECK(!plan.warm_at(30min));
  CHECK(plan.warm_at(1h));
  CHECK(plan.warm_at(1h - 10s));
  REQUIRE(plan.ahead_of(30min));
  CHECK(plan.ahead_of(30min)->from > 55min);
}

TEST_CASE("a timer is seen through the calls of people") {
  Life life;
  std::mt19937_64 random(3);
  for (int hour = 0; hour < 24; ++hour) {
    const Duration people = 5min + Duration(random() % 40) * 60'000'000'000;
    life.gap(people);
    life.gap(1h - people);
  }
  life.gap(20min);  // a call of people: the tick is 40 minutes away
  const KeepAlivePlan plan = life.plan();
  CHECK(plan.reason == KeepAliveReason::beat);
  CHECK(plan.warm_at(40min));
}

TEST_CASE("a beat that nobody would guess is found, and lost when it ends") {
  Life life;
  for (int i = 0; i < 10; ++i) {
    life.gap(47min);
  }
  REQUIRE(life.history.beat());
  CHECK(std::abs(to_seconds(life.history.beat()->period) - 47 * 60) < 1);
  std::mt19937_64 random(5);
  for (int i = 0; i < 60; ++i) {
    life.gap(2min + Duration(random() % 10'000'000) * 1'000'000);
  }
  CHECK(!life.history.beat());
}

TEST_CASE("short gaps and days between sessions: kept within a session only") {
  Life life;
  for (int session = 0; session < 20; ++session) {
    for (int i = 0; i < 10; ++i) {
      life.gap(30s + i * 5s);
    }
    life.gap(20h + session * 11min);
  }
  const KeepAlivePlan plan = life.plan(8);
  CHECK(plan.window() > 60s);
  CHECK(plan.window() < 2h);
}

TEST_CASE("dearer memory and a faster start keep less") {
  Life life;
  std::mt19937_64 random(11);
  for (int i = 0; i < 60; ++i) {
    life.gap(Duration(random() % 3600) * 1'000'000'000);
  }
  const auto held = [](const KeepAlivePlan& plan) {
    Duration sum{};
    for (const WarmSpan& span : plan.spans) {
      sum += span.until - span.from;
    }
    return sum;
  };
  CHECK(held(life.plan(64)) <= held(life.plan(4)));
  CHECK(held(life.plan(4)) <= held(life.plan(0.5)));
  const Outlook outlook(life.history, life.now);
  const auto with_start = [&](Duration time) {
    return held(plan_keep_alive({.price_per_gb = 8}, outlook, {.start_time = time}));
  };
  CHECK(with_start(30ms) <= with_start(1s));
  CHECK(with_start(1s) <= with_start(10s));
  CHECK(held(plan_keep_alive({.price_per_gb = 8}, outlook, {.memory_gb = 4})) <=
        held(plan_keep_alive({.price_per_gb = 8}, outlook, {.memory_gb = 0.1})));
}

TEST_CASE("whatever came: spans are in order, within bounds, and equal for equal arguments") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 200; ++round) {
    Life life;
    const int gaps = static_cast<int>(random() % 60);
    const double scale = std::pow(10, static_cast<double>(random() % 7));
    for (int i = 0; i < gaps; ++i) {
      life.gap(from_seconds(scale * static_cast<double>(random() % 1000) / 500));
    }
    policy::KeepAliveSettings settings;
    settings.price_per_gb = std::pow(10, static_cast<double>(random() % 6) - 3);
    settings.longest_idle = Duration(1 + random() % 100'000'000'000'000);
    settings.longest_held = Duration(1 + random() % 10'000'000'000'000);
    const policy::KeepAliveCosts costs{static_cast<double>(random() % 100) / 10,
                                       Duration(random() % 20'000'000'000)};
    const Outlook outlook(life.history, life.now);
    const KeepAlivePlan plan = plan_keep_alive(settings, outlook, costs);
    check_well_formed(plan, settings.longest_idle);
    for (const WarmSpan& span : plan.spans) {
      CHECK(span.until - span.from <= settings.longest_held);
    }
    CHECK(plan.spans == plan_keep_alive(settings, Outlook(life.history, life.now), costs).spans);
    for (const Outlook::Cell& cell : outlook.cells()) {
      CHECK(cell.chance >= 0);
      CHECK(cell.chance <= 1);
      CHECK(cell.until_s > cell.from_s);
    }
  }
}

TEST_CASE("a clock that jumps back does no harm") {
  Life life;
  for (int i = 0; i < 20; ++i) {
    life.gap(10min);
    life.now = later(life.now, i % 5 == 4 ? -3h : 0s);
  }
  check_well_formed(life.plan(), 24h);
}

TEST_CASE("what is kept gives the same plan after a restart; nonsense is skipped") {
  Life life;
  for (int i = 0; i < 12; ++i) {
    life.gap(15min + (i % 3) * 20s);
  }
  const IdleHistory again = IdleHistory::restore(life.history.kept());
  CHECK(std::abs(again.gaps() - life.history.gaps()) < 0.2);
  const KeepAlivePlan before = life.plan();
  const KeepAlivePlan after = plan_keep_alive({.price_per_gb = 2}, Outlook(again, life.now), {});
  CHECK(before.warm_at(15min) == after.warm_at(15min));
  IdleHistory::Kept bad;
  bad.came = {{60000, 1.0F}, {3, -1.0F}, {4, NAN}, {5, INFINITY}};
  bad.moments_us = {5, 4, -7, 3};
  CHECK(IdleHistory::restore(bad).gaps() == 0);
}
