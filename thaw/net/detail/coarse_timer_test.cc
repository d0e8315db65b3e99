// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/coarse_timer.h"

#include <doctest/doctest.h>

#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"

using namespace thaw;
using net::detail::CoarseTimer;

namespace {

async::Task<void> until(async::Event& event, const bool& condition) {
  while (!condition) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await event.wait(monotonic_now() + 10s));
  }
  co_return ok();
}

}  // namespace

TEST_CASE("alarms ring in order of time, not before it") {
  async::Loop loop;
  CoarseTimer timer(loop);
  async::Event rung;
  std::vector<int> order;
  bool done = false;
  const Instant start = monotonic_now();
  CoarseTimer::Alarm late([&] {
    order.push_back(2);
    done = true;
    rung.notify_all();
    CHECK(monotonic_now() >= start + 120ms);
  });
  CoarseTimer::Alarm early([&] { order.push_back(1); });
  timer.arm(late, start + 120ms);
  timer.arm(early, start + 10ms);
  REQUIRE(loop.run_task(until(rung, done)));
  CHECK(order == std::vector<int>{1, 2});
  CHECK(!early.armed());
}

TEST_CASE("an alarm that is disarmed, moved or destroyed does not ring at its old time") {
  async::Loop loop;
  CoarseTimer timer(loop);
  async::Event rung;
  bool wrong = false;
  bool done = false;
  CoarseTimer::Alarm disarmed([&] { wrong = true; });
  CoarseTimer::Alarm never([&] { wrong = true; });
  auto destroyed = std::make_unique<CoarseTimer::Alarm>([&] { wrong = true; });
  int moved_rang = 0;
  CoarseTimer::Alarm moved([&] { ++moved_rang; });
  CoarseTimer::Alarm last([&] {
    done = true;
    rung.notify_all();
  });
  const Instant now = monotonic_now();
  timer.arm(disarmed, now + 10ms);
  timer.arm(never, now + 10ms);
  timer.arm(*destroyed, now + 10ms);
  timer.arm(moved, now + 10ms);
  timer.arm(moved, now + 60ms);
  timer.arm(last, now + 150ms);
  disarmed.disarm();
  timer.arm(never, Instant::max());
  destroyed.reset();
  REQUIRE(loop.run_task(until(rung, done)));
  CHECK(!wrong);
  CHECK(moved_rang == 1);
}

TEST_CASE("an alarm may arm itself again, and destroy itself, when it rings") {
  async::Loop loop;
  CoarseTimer timer(loop);
  async::Event rung;
  bool done = false;
  int times = 0;
  auto alarm = std::make_unique<CoarseTimer::Alarm>();
  alarm->ring = [&] {
    if (++times < 3) {
      timer.arm(*alarm, monotonic_now());
      return;
    }
    alarm.reset();
    done = true;
    rung.notify_all();
  };
  timer.arm(*alarm, monotonic_now());
  REQUIRE(loop.run_task(until(rung, done)));
  CHECK(times == 3);
}

TEST_CASE("far alarms do not ring early, however many there are") {
  async::Loop loop;
  CoarseTimer timer(loop);
  async::Event rung;
  bool done = false;
  int early = 0;
  std::vector<std::unique_ptr<CoarseTimer::Alarm>> far;
  for (int i = 0; i < 1'000; ++i) {
    far.push_back(std::make_unique<CoarseTimer::Alarm>([&] { ++early; }));
    timer.arm(*far.back(), monotonic_now() + i * 1h + 1min);
  }
  CoarseTimer::Alarm last([&] {
    done = true;
    rung.notify_all();
  });
  timer.arm(last, monotonic_now() + 20ms);
  REQUIRE(loop.run_task(until(rung, done)));
  CHECK(early == 0);
}
