// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/channel.h"
#include "thaw/async/completion.h"
#include "thaw/async/event.h"
#include "thaw/async/every.h"
#include "thaw/async/fd_ready.h"
#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/async/within.h"

using namespace thaw;
using namespace thaw::async;

namespace {

Task<int> waits_for(Event& event) {
  THAW_CO_TRY(const bool notified, co_await event.wait(monotonic_now() + 5s));
  co_return notified ? 1 : 0;
}

Task<void> waits_for_ever(Event& event, std::string& seen) {
  const auto result = co_await event.wait(Instant::max());
  seen = result ? "notified" : std::string(code_name(result.error().code()));
  co_return ok();
}

Task<void> notifies(Event& event) {
  THAW_CO_TRY_VOID(co_await yield());
  event.notify_all();
  co_return ok();
}

}  // namespace

TEST_CASE("a waiting task is woken by a notification") {
  Loop loop;
  Event event;
  TaskGroup tasks(loop);
  tasks.start("notify", notifies(event));
  CHECK(*loop.run_task(waits_for(event)) == 1);
}

TEST_CASE("a wait ends at its deadline") {
  Loop loop;
  Event event;
  const auto body = [](Event& e) -> Task<bool> { co_return co_await e.wait(monotonic_now()); };
  CHECK(*loop.run_task(body(event)) == false);
}

TEST_CASE("stopping a group cancels its tasks and joins them") {
  Loop loop;
  Event event;
  TaskGroup tasks(loop);
  std::string seen;
  tasks.start("wait", waits_for_ever(event, seen));
  const auto body = [](TaskGroup& group) -> Task<void> {
    THAW_CO_TRY_VOID(co_await yield());
    co_return co_await group.stop();
  };
  CHECK(loop.run_task(body(tasks)));
  CHECK(seen == "cancelled");
  CHECK(tasks.size() == 0);
}

TEST_CASE("a group is joined even when its owner is cancelled meanwhile") {
  Loop loop;
  Event event;
  TaskGroup inner(loop);
  TaskGroup outer(loop);
  bool inner_ended = false;
  bool joined_first = false;
  const auto slow_to_end = [](Event& e, bool& ended) -> Task<void> {
    (void)co_await e.wait(Instant::max());
    co_await forget_cancellation();
    (void)co_await sleep_for(20ms);
    ended = true;
    co_return ok();
  };
  const auto owner = [](TaskGroup& group, const bool& ended, bool& first) -> Task<void> {
    THAW_CO_TRY_VOID(co_await group.stop());
    first = ended;
    co_return ok();
  };
  inner.start("slow to end", slow_to_end(event, inner_ended));
  auto handle = outer.start("owner", owner(inner, inner_ended, joined_first));
  const auto body = [](TaskGroup::Handle h, TaskGroup& group) -> Task<bool> {
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    h.cancel();
    co_return co_await group.join(monotonic_now() + 5s);
  };
  CHECK(*loop.run_task(body(handle, outer)));
  CHECK(joined_first);
}

TEST_CASE("one task of a group is cancelled by its handle") {
  Loop loop;
  Event event;
  TaskGroup tasks(loop);
  std::string first;
  std::string second;
  auto handle = tasks.start("first", waits_for_ever(event, first));
  tasks.start("second", waits_for_ever(event, second));
  const auto body = [](TaskGroup::Handle h, Event& e, TaskGroup& group) -> Task<bool> {
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    h.cancel();
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    e.notify_all();
    co_return co_await group.join(monotonic_now() + 5s);
  };
  CHECK(*loop.run_task(body(handle, event, tasks)));
  CHECK(first == "cancelled");
  CHECK(second == "notified");
}

TEST_CASE("a full channel holds its sender until there is room") {
  Loop loop;
  Channel<int> channel(Capacity{2});
  TaskGroup tasks(loop);
  const auto send = [](Channel<int>& c) -> Task<void> {
    for (int i = 0; i < 10; ++i) {
      THAW_CO_TRY_VOID(co_await c.send(i));
    }
    c.close();
    co_return ok();
  };
  tasks.start("send", send(channel));
  const auto drain = [](Channel<int>& c) -> Task<int> {
    int sum = 0;
    while (true) {
      CHECK(c.size() <= 2);
      THAW_CO_TRY(const std::optional<int> item, co_await c.receive(monotonic_now() + 5s));
      if (!item) {
        co_return sum;
      }
      sum += *item;
    }
  };
  CHECK(*loop.run_task(drain(channel)) == 45);
}

TEST_CASE("blocking work runs elsewhere and resumes on the loop") {
  Loop loop;
  Pool pool(2);
  const auto body = [](Pool& p) -> Task<bool> {
    const auto here = std::this_thread::get_id();
    auto work = [] { return Result<std::thread::id>(std::this_thread::get_id()); };
    THAW_CO_TRY(const auto there, co_await blocking(p, work));
    co_return here != there&& here == std::this_thread::get_id();
  };
  CHECK(*loop.run_task(body(pool)));
}

TEST_CASE("a completion is remembered, and its wait is deaf to cancellation") {
  Loop loop;
  Completion completion;
  TaskGroup tasks(loop);
  std::string seen;
  const auto wait = [](Completion& c, std::string& out) -> Task<void> {
    co_await c.wait();
    co_await c.wait();
    out = co_await is_cancelled() ? "cancelled after it" : "completed";
    co_return ok();
  };
  auto handle = tasks.start("wait", wait(completion, seen));
  const auto body = [](TaskGroup::Handle h, Completion& c, TaskGroup& group) -> Task<bool> {
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    h.cancel();
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    CHECK(group.size() == 1);
    c.complete();
    co_return co_await group.join(monotonic_now() + 5s);
  };
  CHECK(*loop.run_task(body(handle, completion, tasks)));
  CHECK(seen == "cancelled after it");
}

TEST_CASE("a group that goes away outside the loop cancels tasks that end meanwhile") {
  Loop loop;
  const auto nothing = []() -> Task<void> { co_return co_await yield(); };
  {
    TaskGroup tasks(loop);
    tasks.start("one", nothing());
    tasks.start("two", nothing()).cancel();
  }
  const auto body = []() -> Task<void> { co_return co_await sleep_for(1ms); };
  CHECK(loop.run_task(body()));
}

TEST_CASE("a task wakes when its descriptor can be read, and is cancelled while it cannot") {
  Loop loop;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  auto watch = FdWatch::make(loop, ends[0]);
  REQUIRE(watch);
  const auto waits = [](FdWatch& w, std::string& seen) -> Task<void> {
    const auto readable = co_await w.readable();
    seen = readable ? "readable" : std::string(code_name(readable.error().code()));
    co_return ok();
  };
  std::string first;
  std::string second;
  TaskGroup tasks(loop);
  const auto cancelled = tasks.start("first", waits(*watch, first));
  const auto body = [](TaskGroup::Handle handle, TaskGroup& group, int end) -> Task<bool> {
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    handle.cancel();
    THAW_CO_TRY_VOID(co_await sleep_for(1ms));
    CHECK(::write(end, "x", 1) == 1);
    co_return co_await group.join(monotonic_now() + 5s);
  };
  tasks.start("second", waits(*watch, second));
  CHECK(*loop.run_task(body(cancelled, tasks, ends[1])));
  CHECK(first == "cancelled");
  CHECK(second == "readable");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a round that fails does not end the loop; only cancellation does") {
  Loop loop;
  TaskGroup group(loop);
  struct Rounds {
    int done = 0;
    Event enough;
  } rounds;
  const auto round = [](Rounds& all) -> Task<void> {
    if (++all.done == 5) {
      all.enough.notify_all();
    }
    // Also what looks like its own end: a thing that it waited for went away.
    co_return all.done % 2 == 0 ? Error::cancelled("something else was")
                                : Error::resource_exhausted("the disk is full");
  };
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
  const auto body = [&round](Loop&, TaskGroup& tasks, Rounds& all) -> Task<void> {
    tasks.start("rounds", every(1ms, "rounds", [&] { return round(all); }));
    while (all.done < 5) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await all.enough.wait(Instant::max()));
    }
    CHECK(tasks.size() == 1);
    co_return co_await tasks.stop();
  };
  REQUIRE(loop.run_task(body(loop, group, rounds)));
  CHECK(group.size() == 0);
  CHECK(rounds.done >= 5);
}

TEST_CASE("the first round may come at once, and what takes long comes seldom") {
  Loop loop;
  TaskGroup group(loop);
  int done = 0;
  Event first;
  const auto round = [&done, &first]() -> std::function<Task<void>()> {
    return [&done, &first] {
      ++done;
      first.notify_all();
      return sleep_for(10ms);
    };
  };
  const auto body = [](TaskGroup& tasks, std::function<Task<void>()> work, Event& began,
                       const int& rounds) -> Task<void> {
    tasks.start("rounds", every(Pace{.rest_per_work = 100'000}, "rounds", std::move(work)));
    while (rounds == 0) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await began.wait(Instant::max()));
    }
    THAW_CO_TRY_VOID(co_await sleep_for(50ms));
    co_return co_await tasks.stop();
  };
  REQUIRE(loop.run_task(body(group, round(), first, done)));
  CHECK(done == 1);
}

TEST_CASE("failures in a row are counted until it works again") {
  Failures failures("test");
  for (int i = 0; i < 5; ++i) {
    failures.note(Error::unavailable("no"));
  }
  CHECK(failures.in_a_row() == 5);
  failures.note(ok());
  CHECK(failures.in_a_row() == 0);
}

namespace {

// Work that ends when the test says so.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  int entered = 0;
  bool open = false;

  Result<void> pass() {
    std::unique_lock held(mutex);
    ++entered;
    changed.notify_all();
    changed.wait(held, [this] { return open; });
    return ok();
  }
  void wait_for(int count) {
    std::unique_lock held(mutex);
    changed.wait(held, [&] { return entered >= count; });
  }
  void release() {
    const std::lock_guard held(mutex);
    open = true;
    changed.notify_all();
  }
};

Task<void> passes(Pool& pool, std::string share, Gate& gate) {
  PoolShare at{pool, std::move(share)};
  co_return co_await blocking(std::move(at), [&gate] { return gate.pass(); });
}

// Lets the tasks that were started run up to their first wait.
void turn(Loop& loop) {
  const auto body = []() -> Task<void> { co_return co_await yield(); };
  REQUIRE(loop.run_task(body()));
}

Task<int> counts(Pool& pool, std::string share) {
  PoolShare at{pool, std::move(share)};
  co_return co_await blocking(std::move(at), [] { return Result<int>(1); });
}

}  // namespace

TEST_CASE("one share's work never holds all threads of a pool, whatever waits") {
  Loop loop;
  Pool pool(6);
  CHECK(pool.for_shares() == 4);
  CHECK(pool.for_one_share() == 2);
  Gate gate;
  TaskGroup tasks(loop);
  for (int i = 0; i < 100; ++i) {
    tasks.start("hold", passes(pool, "greedy", gate));
  }
  turn(loop);
  gate.wait_for(2);
  CHECK(*loop.run_task(counts(pool, "other")) == 1);
  for (int i = 0; i < 100; ++i) {
    tasks.start("hold", passes(pool, "greedy too", gate));
  }
  turn(loop);
  gate.wait_for(4);
  // All that shares may have is taken; the server's own work goes on.
  CHECK(*loop.run_task(counts(pool, "")) == 1);
  CHECK(gate.entered == 4);
  gate.release();
  CHECK(*loop.run_task(counts(pool, "third")) == 1);
  CHECK(*loop.run_task(tasks.join(Instant::max())));
  CHECK(gate.entered == 200);
}

TEST_CASE("shares take turns, however much one of them has waiting") {
  Loop loop;
  Pool pool(1);
  Gate gate;
  TaskGroup tasks(loop);
  tasks.start("hold", passes(pool, "greedy", gate));
  turn(loop);
  gate.wait_for(1);
  std::vector<std::string> order;
  const auto note = [](Pool& of, std::string share, std::vector<std::string>& out) -> Task<void> {
    PoolShare at{of, share};
    co_return co_await blocking(std::move(at), [share, &out]() -> Result<void> {
      out.push_back(share);
      return ok();
    });
  };
  for (int i = 0; i < 3; ++i) {
    tasks.start("wait", note(pool, "greedy", order));
  }
  tasks.start("wait", note(pool, "other", order));
  turn(loop);
  gate.release();
  CHECK(*loop.run_task(tasks.join(Instant::max())));
  CHECK(order == std::vector<std::string>{"greedy", "other", "greedy", "greedy"});
}

TEST_CASE("a wait that takes too long is ended, and one that does not gives its result") {
  Loop loop;
  Event event;
  TaskGroup tasks(loop);
  std::string seen;
  const auto waits = [](Event& e, std::string& out) -> Task<bool> {
    const auto result = co_await e.wait(Instant::max());
    out = result ? "notified" : std::string(code_name(result.error().code()));
    co_return result;
  };
  const auto late = loop.run_task(within(1ms, waits(event, seen)));
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == Code::deadline_exceeded);
  CHECK(seen == "cancelled");
  tasks.start("notify", notifies(event));
  CHECK(*loop.run_task(within(1h, waits(event, seen))));
  // Whoever waits for it may be cancelled itself.
  const auto outer = [](Event& e, std::string& out, std::string& outcome) -> Task<void> {
    const auto inner = [](Event& of, std::string& word) -> Task<bool> {
      const auto result = co_await of.wait(Instant::max());
      word = result ? "notified" : std::string(code_name(result.error().code()));
      co_return result;
    };
    const auto result = co_await within(1h, inner(e, out));
    outcome = result ? "" : std::string(code_name(result.error().code()));
    co_return ok();
  };
  std::string outcome;
  tasks.start("outer", outer(event, seen, outcome));
  const auto stop = [](TaskGroup& group) -> Task<void> {
    THAW_CO_TRY_VOID(co_await yield());
    co_return co_await group.stop();
  };
  CHECK(loop.run_task(stop(tasks)));
  CHECK(seen == "cancelled");
  CHECK(outcome == "cancelled");
}
