// SPDX-License-Identifier: Apache-2.0
// What a call allows: how long it waits, how long it runs, how often it is delivered, how long it
// is kept. In virtual time.
#include <doctest/doctest.h>

#include "thaw/async/virtual_time.h"
#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::LogEntry;
using model::OutcomeKind;

namespace {

constexpr Durability both[] = {Durability::memory, Durability::durable};

struct Timed {
  async::VirtualTime time;
  Fixture f;

  void passes(Duration how_long) { time.run(f.loop, time.now() + how_long); }
  template <class T>
  Result<T> await(async::Task<T> task) {
    std::optional<Result<T>> out;
    const auto body = [](async::Task<T> inner,
                         std::optional<Result<T>>& result) -> async::Task<void> {
      result.emplace(co_await std::move(inner));
      co_return ok();
    };
    f.tasks.start("awaited", body(std::move(task), out));
    for (int i = 0; i < 1'000 && !out; ++i) {
      passes(1ms);
    }
    REQUIRE(out);
    return std::move(*out);
  }
  void create(model::NewCall call) {
    REQUIRE(await(f.queue->create(std::move(call), Fixture::inputs({"in"}))));
  }
  std::vector<LeasedInput> lease(const std::string& by) {
    return f.queue->lease(f.function, Fixture::container(by), 10);
  }
  void complete(const LeasedInput& input, const std::string& by, OutcomeKind kind) {
    REQUIRE(await(f.queue->complete(input.input, Fixture::container(by), {kind, {"said"}})));
  }
  std::vector<LogEntry> log(const std::string& name) {
    auto entries = await(f.queue->read(Fixture::id(name), 0, 100, monotonic_now() + 1ms, nullptr));
    REQUIRE(entries);
    return *entries;
  }
};

}  // namespace

TEST_CASE("what no container has by the time that its call allows ends as expired, undelivered") {
  for (const Durability durability : both) {
    Timed t;
    model::NewCall call = t.f.call("fc-1", durability);
    call.limits.queue_until = wall_now() + std::chrono::seconds(10);
    t.create(call);
    t.passes(9s);
    CHECK(t.f.queue->demand(t.f.function).ready == 1);
    t.passes(2s);
    CHECK(t.f.queue->demand(t.f.function).unfinished == 0);
    CHECK(t.lease("ta-1").empty());
    const auto log = t.log("fc-1");
    REQUIRE(log.size() == 1);
    CHECK(log[0].outcome == OutcomeKind::expired);
    CHECK(log[0].attempts == 0);
    REQUIRE(log[0].failure);
    CHECK(log[0].failure->type == model::failure_type::expired);
    CHECK(t.f.queue->counters().expired == 1);
  }
}

TEST_CASE("a call that comes, or is given more inputs, past its time expires at once") {
  for (const Durability durability : both) {
    Timed t;
    model::NewCall call = t.f.call("fc-1", durability);
    call.limits.queue_until = wall_now() - std::chrono::seconds(1);
    t.create(call);
    CHECK(t.lease("ta-1").empty());
    REQUIRE(t.await(t.f.queue->add_inputs(Fixture::id("fc-1"), {{1, {"more"}}})));
    CHECK(t.lease("ta-1").empty());
    const auto log = t.log("fc-1");
    REQUIRE(log.size() == 2);
    CHECK(log[1].outcome == OutcomeKind::expired);
  }
}

TEST_CASE("what a container has is not expired, and ends as it says") {
  for (const Durability durability : both) {
    Timed t;
    model::NewCall call = t.f.call("fc-1", durability);
    call.limits.queue_until = wall_now() + std::chrono::seconds(10);
    call.retry = {5, 1s, 1s, 1.0};
    t.create(call);
    const auto leases = t.lease("ta-1");
    REQUIRE(leases.size() == 1);
    t.passes(1min);
    CHECK(t.log("fc-1").empty());
    // It may not be delivered again by now.
    t.complete(leases[0], "ta-1", OutcomeKind::failure);
    const auto log = t.log("fc-1");
    REQUIRE(log.size() == 1);
    CHECK(log[0].outcome == OutcomeKind::failure);
  }
}

TEST_CASE("a retry that would come too late is none") {
  Timed t;
  model::NewCall call = t.f.call("fc-1");
  call.limits.end_by = wall_now() + std::chrono::seconds(10);
  call.retry = {5, 4s, 4s, 1.0};
  t.create(call);
  for (int i = 0; i < 3; ++i) {
    const auto leases = t.lease("ta-1");
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].end_by <= t.time.now() + 10s);
    t.complete(leases[0], "ta-1", OutcomeKind::failure);
    t.passes(4s + 100ms);
    if (!t.log("fc-1").empty()) {
      break;
    }
  }
  const auto log = t.log("fc-1");
  REQUIRE(log.size() == 1);
  CHECK(log[0].outcome == OutcomeKind::failure);
  CHECK(log[0].attempts == 3);
}

TEST_CASE("a call of no redeliveries is delivered once, whatever dies") {
  for (const Durability durability : both) {
    Timed t;
    model::NewCall call = t.f.call("fc-1", durability);
    call.limits.redeliveries = 0;
    t.create(call);
    const auto leases = t.lease("ta-1");
    REQUIRE(leases.size() == 1);
    CHECK(leases[0].is_only_delivery == (durability == Durability::durable));
    REQUIRE(t.await(t.f.queue->release(Fixture::container("ta-1"),
                                       {OutcomeKind::internal_failure, {"killed"}})));
    CHECK(t.lease("ta-2").empty());
    const auto log = t.log("fc-1");
    REQUIRE(log.size() == 1);
    CHECK(log[0].outcome == OutcomeKind::internal_failure);
  }
}

TEST_CASE("a call of no redeliveries that a container had when the server died is not run again") {
  Fixture f;
  model::NewCall call = f.call("fc-1", Durability::durable);
  call.limits.redeliveries = 0;
  f.create(call, {"has begun", "waits"});
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1);
  REQUIRE(f.loop.run_task(f.queue->record(leases)));
  f.reopen();
  const auto again = f.queue->lease(f.function, f.container("ta-2"), 10);
  CHECK(payloads(again) == "waits");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].index == 0);
  CHECK(log[0].outcome == OutcomeKind::internal_failure);
  REQUIRE(log[0].failure);
  CHECK(log[0].failure->message.find("the server ended") != std::string::npos);
}

TEST_CASE("a time limit goes on while the server is down, and is kept with the call") {
  Fixture f;
  model::NewCall call = f.call("fc-1", Durability::durable);
  call.limits = {wall_now() + std::chrono::hours(1), wall_now() + std::chrono::hours(2), 90s, 3};
  call.keep = {1min, 24h};
  f.create(call, {"in"});
  model::NewCall late = f.call("fc-2", Durability::durable);
  late.limits.queue_until = wall_now() + std::chrono::milliseconds(20);
  f.create(late, {"late"});
  f.reopen();
  const auto info = f.loop.run_task(f.queue->info(f.id("fc-1")));
  REQUIRE(info);
  CHECK(info->call.limits.queue_until == call.limits.queue_until);
  CHECK(info->call.limits.end_by == call.limits.end_by);
  CHECK(info->call.limits.run_for == Duration(90s));
  CHECK(info->call.limits.redeliveries == 3);
  CHECK(info->call.keep.payload_for == Duration(1min));
  CHECK(info->call.keep.record_for == Duration(24h));
  const auto log = f.read("fc-2", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].outcome == OutcomeKind::expired);
  CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).front().run_for == Duration(90s));
}

TEST_CASE("a call is kept as long as it asks: first what it carries goes, then all of it") {
  Timed t;
  model::NewCall call = t.f.call("fc-1", Durability::durable);
  call.keep = {1h, std::chrono::hours(24 * 30)};
  t.create(call);
  t.create(t.f.call("fc-2", Durability::durable));
  for (const LeasedInput& input : t.lease("ta-1")) {
    LogEntry piece;
    piece.input = input.input;
    piece.payload.bytes = "piece";
    REQUIRE(t.await(t.f.queue->append(input.call, std::move(piece))));
    t.complete(input, "ta-1", OutcomeKind::success);
  }
  const auto sweep = [&t] { REQUIRE(t.await(t.f.queue->sweep())); };
  t.passes(30min);
  sweep();
  CHECK(t.log("fc-1").size() == 2);
  t.passes(31min);
  sweep();
  const auto log = t.log("fc-1");
  REQUIRE(log.size() == 1);
  CHECK(log[0].outcome == OutcomeKind::success);
  CHECK(log[0].payload.empty());
  CHECK(t.log("fc-2").size() == 2);
  t.passes(std::chrono::hours(24 * 8));
  sweep();
  CHECK(t.log("fc-1").size() == 1);
  CHECK(t.await(t.f.queue->info(Fixture::id("fc-2"))).error().code() == Code::not_found);
  t.passes(std::chrono::hours(24 * 30));
  sweep();
  CHECK(t.await(t.f.queue->info(Fixture::id("fc-1"))).error().code() == Code::not_found);
}
