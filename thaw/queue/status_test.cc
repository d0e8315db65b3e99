// SPDX-License-Identifier: Apache-2.0
// What a call's log tells of its inputs on the way to their ends, and when things happened.
#include <doctest/doctest.h>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::CallStatus;
using model::Durability;
using model::LogEntry;
using model::OutcomeKind;

namespace {

constexpr Durability both[] = {Durability::memory, Durability::durable};

model::NewCall told(const Fixture& f, const std::string& name, Durability durability) {
  model::NewCall call = f.call(name, durability);
  call.status = model::StatusEntries::yes;
  return call;
}

CallInfo info_of(Fixture& f, const std::string& name) {
  auto info = f.loop.run_task(f.queue->info(Fixture::id(name)));
  REQUIRE(info);
  return *info;
}

}  // namespace

TEST_CASE("a call that asks for it is told what becomes of its inputs, in the order of its log") {
  for (const Durability durability : both) {
    Fixture f;
    model::NewCall call = told(f, "fc-1", durability);
    call.retry = {1, 0s, 0s, 1.0};
    f.create(call, {"in"});
    const Taker taker{"fu-1-v7", model::Level::frozen};
    auto leases = f.queue->lease(f.function, f.container("ta-1"), 1, taker);
    REQUIRE(leases.size() == 1);
    f.turn();
    f.complete(leases[0].input, "ta-1", OutcomeKind::failure, "it raised");
    leases = {f.wait_lease("ta-2")};
    f.turn();
    f.complete(leases[0].input, "ta-2", OutcomeKind::success, "out");
    for (int round = 0; round < 2; ++round) {
      const auto log = f.read("fc-1", 0);
      REQUIRE(log.size() == 4);
      CHECK(log[0].kind == LogEntry::Kind::status);
      CHECK(log[0].status.what == CallStatus::What::started);
      CHECK(log[0].status.version == "fu-1-v7");
      CHECK(log[0].status.level == model::Level::frozen);
      CHECK(log[0].container == f.container("ta-1"));
      CHECK(log[0].attempts == 1);
      CHECK(log[1].status.what == CallStatus::What::retried);
      CHECK(log[1].outcome == OutcomeKind::failure);
      CHECK(log[1].container == f.container("ta-1"));
      CHECK(log[2].status.what == CallStatus::What::started);
      CHECK(log[2].attempts == 2);
      CHECK(log[3].kind == LogEntry::Kind::final_);
      for (std::size_t i = 0; i < log.size(); ++i) {
        CHECK(log[i].number == i + 1);
        CHECK(log[i].at != WallTime{});
      }
      if (durability == Durability::memory) {
        break;
      }
      f.reopen();
    }
  }
}

TEST_CASE("the cancellation of a call is told once, before the ends that follow from it") {
  for (const Durability durability : both) {
    Fixture f;
    f.create(told(f, "fc-1", durability), {"a"});
    REQUIRE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
    f.turn();
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() >= 1);
    const auto cancels = std::count_if(log.begin(), log.end(), [](const LogEntry& entry) {
      return entry.status.what == CallStatus::What::cancelled;
    });
    CHECK(cancels == 1);
  }
}

TEST_CASE("a call that does not ask for it has only its output") {
  Fixture f;
  f.create(f.call("fc-1"), {"in"});
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1);
  f.release("ta-1");
  f.wait_lease("ta-1");
  f.complete(leases[0].input, "ta-1", OutcomeKind::success, "out");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].number == 1);
}

TEST_CASE("status entries are no pieces that wait for a reader, and have a bound") {
  Fixture f;
  model::NewCall call = told(f, "fc-1", Durability::memory);
  call.retry = {1'000, 0s, 0s, 1.0};
  f.create(call, {"in"});
  for (int i = 0; i < 100; ++i) {
    const LeasedInput lease = f.wait_lease("ta-1");
    f.complete(lease.input, "ta-1", OutcomeKind::failure, "it raised");
  }
  const LeasedInput last = f.wait_lease("ta-1");
  // A piece as large as may wait is taken at once: nothing waits before it.
  LogEntry piece;
  piece.payload.bytes = std::string(f.limits.unread_bytes_per_call - 1'000, 'p');
  const auto number = f.loop.run_task(f.queue->append(f.id("fc-1"), std::move(piece)));
  REQUIRE(number);
  CHECK(*number <= 20);
  f.queue->take(f.id("fc-1"), *number);
  f.complete(last.input, "ta-1", OutcomeKind::success, "out");
  CHECK(f.read("fc-1", *number).size() == 1);
}

TEST_CASE("when a call came, began and ended is known, after a restart too, and who made it") {
  for (const Durability durability : both) {
    Fixture f;
    const WallTime before = wall_now();
    model::NewCall call = f.call("fc-1", durability);
    call.origin = model::Origin::web;
    const auto ids = f.create(call, {"in"});
    CHECK(!info_of(f, "fc-1").started_at);
    CHECK(!info_of(f, "fc-1").finished_at);
    REQUIRE(f.queue->lease(f.function, f.container("ta-1"), 1).size() == 1);
    const auto started = info_of(f, "fc-1").started_at;
    REQUIRE(started);
    CHECK(*started >= before);
    CHECK(!info_of(f, "fc-1").finished_at);
    f.complete(ids[0], "ta-1", OutcomeKind::success, "out");
    for (int round = 0; round < 2; ++round) {
      const CallInfo info = info_of(f, "fc-1");
      CHECK(info.call.origin == model::Origin::web);
      CHECK(info.created_at >= before);
      REQUIRE(info.started_at);
      REQUIRE(info.finished_at);
      CHECK(*info.started_at >= info.created_at);
      CHECK(*info.finished_at >= *info.started_at);
      if (durability == Durability::memory) {
        break;
      }
      f.reopen();
    }
    if (durability == Durability::durable) {
      f.add("fc-1", {{1, {"more"}}});
      CHECK(!info_of(f, "fc-1").finished_at);
    }
  }
}
