// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/virtual_time.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/every.h"
#include "thaw/async/task_group.h"

namespace thaw::async {
namespace {

TEST_CASE("hours pass at once, and what is due at one moment runs in order") {
  VirtualTime time;
  Loop loop;
  TaskGroup tasks(loop);
  const Instant begun = monotonic_now();
  std::vector<std::string> seen;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
  const auto sleeper = [&seen](Duration how_long, std::string name) -> Task<void> {
    THAW_CO_TRY_VOID(co_await sleep_for(how_long));
    seen.push_back(std::move(name));
    co_return ok();
  };
  tasks.start("c", sleeper(3h, "c"));
  tasks.start("a", sleeper(1h, "a"));
  tasks.start("b1", sleeper(2h, "b1"));
  tasks.start("b2", sleeper(2h, "b2"));
  CHECK(time.run(loop, begun + 2h));
  CHECK(seen == std::vector<std::string>{"a", "b1", "b2"});
  CHECK(monotonic_now() == begun + 2h);
  CHECK(time.run(loop, begun + 4h));
  CHECK(seen.back() == "c");
  CHECK(monotonic_now() == begun + 4h);
}

TEST_CASE("an event ends its wait at its deadline, when it is notified and when it is cancelled") {
  VirtualTime time;
  Loop loop;
  TaskGroup tasks(loop);
  Event event;
  const Instant begun = monotonic_now();
  std::vector<std::string> seen;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
  const auto waiter = [&](Instant deadline, std::string name) -> Task<void> {
    const Result<bool> notified = co_await event.wait(deadline);
    seen.push_back(name + (!notified ? " cancelled" : *notified ? " notified" : " late"));
    co_return ok();
  };
  tasks.start("first", waiter(begun + 5s, "first"));
  tasks.start("ever", waiter(Instant::max(), "ever"));
  auto cancelled = tasks.start("gone", waiter(begun + 20s, "gone"));
  CHECK(time.run(loop, begun + 10s));
  CHECK(seen == std::vector<std::string>{"first late"});
  cancelled.cancel();
  CHECK(time.run(loop, begun + 11s));
  event.notify_all();
  CHECK(time.run(loop, begun + 12s));
  CHECK(seen == std::vector<std::string>{"first late", "gone cancelled", "ever notified"});
}

TEST_CASE("the wall clock jumps and the monotonic one does not") {
  VirtualTime time;
  Loop loop;
  const Instant begun = monotonic_now();
  const WallTime wall = wall_now();
  CHECK(time.run(loop, begun + 1min));
  CHECK(wall_now() - wall == 1min);
  time.jump_wall(-2h);
  CHECK(wall_now() - wall == 1min - 2h);
  CHECK(monotonic_now() == begun + 1min);
}

TEST_CASE("rounds of a background task come on time for a day") {
  VirtualTime time;
  Loop loop;
  TaskGroup tasks(loop);
  int rounds = 0;
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
  const auto round = [&rounds]() -> Task<void> {
    ++rounds;
    co_return ok();
  };
  tasks.start("rounds", every(1min, "rounds", round));
  CHECK(time.run(loop, monotonic_now() + 24h));
  CHECK(rounds == 24 * 60);
}

}  // namespace
}  // namespace thaw::async
