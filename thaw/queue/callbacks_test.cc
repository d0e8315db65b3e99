// SPDX-License-Identifier: Apache-2.0
// Callbacks as rows: made with their calls, due by their logs, ended, counted, and kept for.
#include "thaw/queue/callbacks.h"

#include <doctest/doctest.h>

#include "thaw/async/virtual_time.h"
#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::OutcomeKind;

namespace {

const CallbackLane lane{model::WorkspaceId("ac-ann"), "http://hooks:80"};

model::Callback callback(model::CallbackWants wants = {}) {
  model::Callback one;
  one.sink = "http://hooks/x";
  one.receiver = lane.receiver;
  one.wants = wants;
  one.dialect = "native";
  one.options = "opaque";
  return one;
}

model::NewCall called(const Fixture& f, const std::string& name,
                      std::vector<model::Callback> callbacks) {
  model::NewCall call = f.call(name, Durability::durable);
  call.workspace = lane.workspace;
  call.callbacks = std::move(callbacks);
  return call;
}

std::vector<DueCallback> due(Fixture& f, WallTime now = wall_now() + 1s) {
  auto rows = f.loop.run_task(f.queue->callbacks().due(lane, now, 100));
  REQUIRE(rows);
  return *rows;
}
CallbackTurn turn(Fixture& f, const DueCallback& row) {
  auto next = f.loop.run_task(f.queue->callbacks().turn(row));
  REQUIRE(next);
  return *next;
}
void told(Fixture& f, const DueCallback& row, std::uint64_t number) {
  REQUIRE(f.loop.run_task(f.queue->callbacks().told(row, number)));
}
CallbackView view(Fixture& f, const std::string& call) {
  const auto views = f.loop.run_task(f.queue->callbacks().of(f.id(call)));
  REQUIRE(views);
  REQUIRE(!views->empty());
  return views->front();
}
void finish(Fixture& f, const std::string& payload = "out") {
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1);
  REQUIRE(leases.size() == 1);
  f.complete(leases[0].input, "ta-1", OutcomeKind::success, payload);
}

// In virtual time.
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
  void sweeps() { REQUIRE(await(f.queue->sweep())); }
};

}  // namespace

TEST_CASE("a callback is made with its call, and is due once an entry that it wants is on disk") {
  Fixture f;
  std::vector<CallbackLane> heard;
  f.queue->callbacks().on_due([&](const CallbackLane& one) { heard.push_back(one); });
  f.create(called(f, "fc-1", {callback()}), {"in"});
  CHECK(f.queue->callbacks().pending(lane.workspace) == 1);
  CHECK(due(f).empty());
  CHECK(heard.empty());
  finish(f);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0] == lane);
  const auto rows = due(f);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].call.str() == "fc-1");
  CHECK(rows[0].options == "opaque");
  CHECK(rows[0].until);
  const CallbackTurn next = turn(f, rows[0]);
  REQUIRE(next.entry);
  CHECK(next.entry->payload.bytes == "out");
  CHECK(next.finished_at);
  told(f, rows[0], next.entry->number);
  CHECK(view(f, "fc-1").state == CallbackState::delivered);
  CHECK(view(f, "fc-1").told == 1);
  CHECK(due(f).empty());
  CHECK(f.queue->callbacks().pending(lane.workspace) == 0);
}

TEST_CASE("a callback is told what it wants in the log's order, and passes over the rest") {
  Fixture f;
  f.create(called(f, "fc-1", {callback({true, true, true}), callback({false, true, false})}),
           {"in"});
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1);
  REQUIRE(leases.size() == 1);
  f.turn();
  REQUIRE(f.loop.run_task(f.queue->recorded()));
  for (const char* text : {"a", "b"}) {
    model::LogEntry piece;
    piece.payload = {text, "text/plain"};
    REQUIRE(f.loop.run_task(f.queue->append(f.id("fc-1"), std::move(piece))));
  }
  f.complete(leases[0].input, "ta-1", OutcomeKind::success, "end");
  std::vector<std::string> all;
  std::vector<std::string> output_only;
  for (auto rows = due(f); !rows.empty(); rows = due(f)) {
    for (const DueCallback& row : rows) {
      const CallbackTurn next = turn(f, row);
      if (next.entry) {
        (row.ordinal == 0 ? all : output_only)
            .push_back(next.entry->kind == model::LogEntry::Kind::status
                           ? "started"
                           : next.entry->payload.bytes);
      }
      told(f, row, next.entry ? next.entry->number : row.cursor);
    }
  }
  CHECK(all == std::vector<std::string>{"started", "a", "b", "end"});
  CHECK(output_only == std::vector<std::string>{"a", "b"});
  CHECK(f.queue->callbacks().pending(lane.workspace) == 0);
}

TEST_CASE("what is pending outlives the server, with its place and its tries") {
  Fixture f;
  f.create(called(f, "fc-1", {callback()}), {"in"});
  finish(f);
  const WallTime later = wall_now() + 1h;
  REQUIRE(f.loop.run_task(f.queue->callbacks().failed(due(f)[0], later, "it answered 500")));
  CHECK(due(f).empty());
  f.reopen();
  CHECK(f.queue->callbacks().pending(lane.workspace) == 1);
  const auto lanes = f.loop.run_task(f.queue->callbacks().begin());
  REQUIRE(lanes);
  CHECK(*lanes == std::vector{lane});
  CHECK(due(f).empty());
  CHECK(*f.loop.run_task(f.queue->callbacks().next_due(lane, wall_now())) == later);
  CHECK(view(f, "fc-1").why == "it answered 500");
  const auto rows = due(f, later + 1s);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].failures == 1);
  // An entry that comes meanwhile does not hasten it.
  told(f, rows[0], turn(f, rows[0]).entry->number);
  CHECK(view(f, "fc-1").tries == 2);
}

TEST_CASE("a callback of a call that gets more inputs after its end is told of those too") {
  Fixture f;
  f.create(called(f, "fc-1", {callback()}), {"in"});
  finish(f);
  told(f, due(f)[0], turn(f, due(f)[0]).entry->number);
  CHECK(view(f, "fc-1").state == CallbackState::delivered);
  f.add("fc-1", {{1, {"more"}}});
  finish(f, "second");
  CHECK(f.queue->callbacks().pending(lane.workspace) == 1);
  const auto rows = due(f);
  REQUIRE(rows.size() == 1);
  CHECK(turn(f, rows[0]).entry->payload.bytes == "second");
  told(f, rows[0], turn(f, rows[0]).entry->number);
  CHECK(f.queue->callbacks().pending(lane.workspace) == 0);
}

TEST_CASE("a call is kept until its callbacks have ended, and not longer") {
  Timed t;
  model::NewCall call = called(t.f, "fc-1", {callback()});
  call.keep = {.payload_for = 1s, .record_for = 2s};
  call.callbacks[0].try_for = std::chrono::hours(1);
  REQUIRE(t.await(t.f.queue->create(std::move(call), Fixture::inputs({"in"}))));
  const auto leases = t.f.queue->lease(t.f.function, t.f.container("ta-1"), 1);
  REQUIRE(leases.size() == 1);
  REQUIRE(t.await(
      t.f.queue->complete(leases[0].input, t.f.container("ta-1"), Fixture::success("out"))));
  t.passes(10min);
  t.sweeps();
  const auto rows = t.await(t.f.queue->callbacks().due(lane, wall_now(), 10));
  REQUIRE(rows);
  REQUIRE(rows->size() == 1);
  const auto next = t.await(t.f.queue->callbacks().turn(rows->front()));
  REQUIRE(next);
  REQUIRE(next->entry);
  CHECK(next->entry->payload.bytes == "out");
  SUBCASE("it is told: the call's own times hold again") {
    REQUIRE(t.await(t.f.queue->callbacks().told(rows->front(), next->entry->number)));
  }
  SUBCASE("its time is over: it is given up, once those that tell have had a chance to") {
    t.passes(1h);
    t.sweeps();
    CHECK(t.f.queue->callbacks().pending(lane.workspace) == 1);
    REQUIRE(t.await(t.f.queue->callbacks().begin()));
    t.sweeps();
    CHECK(t.f.queue->callbacks().pending(lane.workspace) == 1);
    t.passes(15min);
    t.sweeps();
  }
  CHECK(t.f.queue->callbacks().pending(lane.workspace) == 0);
  t.passes(1min);
  t.sweeps();
  t.passes(1min);
  t.sweeps();
  CHECK(!t.await(t.f.queue->info(t.f.id("fc-1"))));
  CHECK(t.await(t.f.queue->callbacks().of(t.f.id("fc-1")))->empty());
}

TEST_CASE("a workspace has a share of pending callbacks and of receivers, and others have theirs") {
  Fixture f;
  f.limits.callbacks.pending_per_workspace = 4;
  f.limits.callbacks.receivers_per_workspace = 2;
  f.reopen();
  f.create(called(f, "fc-1", {callback(), callback()}), {"in"});
  const auto code = [&](const char* name, std::vector<model::Callback> callbacks) {
    return f.create_code(called(f, name, std::move(callbacks)), {"in"});
  };
  CHECK(code("fc-2", {callback(), callback(), callback()}) == Code::resource_exhausted);
  model::Callback second = callback();
  second.receiver = "http://second:80";
  model::Callback third = callback();
  third.receiver = "http://third:80";
  CHECK(code("fc-3", {second}) == Code::ok);
  CHECK(code("fc-4", {third}) == Code::resource_exhausted);
  model::NewCall of_bob = called(f, "fc-5", {third});
  of_bob.workspace = model::WorkspaceId("ac-bob");
  CHECK(f.create_code(std::move(of_bob), {"in"}) == Code::ok);
  // A call that was refused has taken nothing, and what has ended gives its room back.
  finish(f);
  for (const DueCallback& row : due(f)) {
    REQUIRE(f.loop.run_task(f.queue->callbacks().give_up(row, "it answered 410")));
  }
  CHECK(view(f, "fc-1").state == CallbackState::given_up);
  CHECK(view(f, "fc-1").why == "it answered 410");
  CHECK(code("fc-6", {callback(), callback()}) == Code::ok);
}

TEST_CASE("what makes no sense as a callback is refused, and leaves nothing") {
  Fixture f;
  const auto refused = [&](auto change) {
    model::NewCall call = called(f, "fc-1", {callback()});
    change(call);
    CHECK(f.create_code(std::move(call), {"in"}) == Code::invalid_argument);
    CHECK(f.queue->callbacks().pending(lane.workspace) == 0);
  };
  refused([](model::NewCall& call) { call.durability = Durability::memory; });
  refused([](model::NewCall& call) { call.callbacks.resize(9, call.callbacks[0]); });
  refused([](model::NewCall& call) { call.callbacks[0].sink.resize(2'049, 'x'); });
  refused([](model::NewCall& call) { call.callbacks[0].options.resize(4'097); });
  refused([](model::NewCall& call) { call.callbacks[0].receiver.clear(); });
  refused([](model::NewCall& call) { call.callbacks[0].wants = {false, false, false}; });
  refused([](model::NewCall& call) { call.callbacks[0].try_for = Duration::zero(); });
  refused([](model::NewCall& call) { call.callbacks[0].try_for = std::chrono::hours(24 * 8); });
  // Of an id that is there already.
  f.create(called(f, "fc-1", {callback()}), {"in"});
  f.reopen();
  CHECK(f.create_code(called(f, "fc-1", {callback()}), {"in"}) == Code::already_exists);
  CHECK(f.queue->callbacks().pending(lane.workspace) == 1);
}

TEST_CASE("a large result is told without its bytes") {
  Fixture f;
  f.limits.callbacks.told_bytes = 10;
  f.reopen();
  f.create(called(f, "fc-1", {callback()}), {"in"});
  finish(f, "eleven bytes");
  const CallbackTurn next = turn(f, due(f)[0]);
  REQUIRE(next.entry);
  CHECK(next.left_out == 12);
  CHECK(next.entry->payload.empty());
  CHECK(next.entry->outcome == OutcomeKind::success);
}

TEST_CASE("an entry that is damaged, and a call that is gone, are told as such") {
  Fixture f;
  f.create(called(f, "fc-1", {callback()}), {"in"});
  f.create(called(f, "fc-2", {callback()}), {"in"});
  finish(f);
  finish(f);
  const auto rows = due(f);
  REQUIRE(rows.size() == 2);
  const auto spoil = [](store::Database& at) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction)
                        .run("UPDATE call_log SET payload = x'00' WHERE call = 'fc-1'", {}));
      THAW_TRY_VOID(
          store::testing::sql_of(transaction).run("DELETE FROM calls WHERE id = 'fc-2'", {}));
      return ok();
    };
    co_return co_await at.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(spoil(*f.database)));
  CHECK(f.loop.run_task(f.queue->callbacks().turn(rows[0])).error().code() == Code::data_loss);
  CHECK(f.loop.run_task(f.queue->callbacks().turn(rows[1])).error().code() == Code::not_found);
  // Neither keeps the next start from its work.
  f.reopen();
  REQUIRE(f.loop.run_task(f.queue->callbacks().begin()));
  CHECK(due(f).size() == 2);
  for (const DueCallback& row : due(f)) {
    REQUIRE(f.loop.run_task(f.queue->callbacks().give_up(row, "gone")));
  }
  CHECK(f.queue->callbacks().pending(lane.workspace) == 0);
}

TEST_CASE("a record of a callback that is damaged waits for nothing, and keeps nobody waiting") {
  const char* const damages[] = {"due_us = 'soon'",     "until_us = x'00'", "cursor = 'a'",
                                 "receiver = x'68'",    "wants = 1.5",      "state = 77",
                                 "try_for_us = 'long'", "sink = 17.5"};
  for (const char* damage : damages) {
    CAPTURE(damage);
    Fixture f;
    f.create(called(f, "fc-1", {callback()}), {"in"});
    finish(f);
    const auto spoil = [](store::Database& at, std::string what) -> async::Task<void> {
      std::function<Result<void>(store::Transaction&)> work =
          [what = std::move(what)](store::Transaction& transaction) -> Result<void> {
        THAW_TRY_VOID(store::testing::sql_of(transaction).run("UPDATE callbacks SET " + what, {}));
        return ok();
      };
      co_return co_await at.write<void>(std::move(work));
    };
    REQUIRE(f.loop.run_task(spoil(*f.database, damage)));
    f.reopen();
    REQUIRE(f.loop.run_task(f.queue->callbacks().begin()));
    const bool is_text = std::string_view(damage).starts_with("sink");  // a number is text there
    CHECK(view(f, "fc-1").state == (is_text ? CallbackState::pending : CallbackState::given_up));
    CHECK(f.queue->callbacks().pending(lane.workspace) == (is_text ? 1 : 0));
    // Others go on.
    f.create(called(f, "fc-2", {callback()}), {"in"});
    finish(f);
    CHECK(!due(f).empty());
  }
}

TEST_CASE("a time that lies too far ahead is brought near at the next start") {
  Fixture f;
  f.create(called(f, "fc-1", {callback()}), {"in"});
  finish(f);
  const auto spoil = [](store::Database& at) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction)
                        .run("UPDATE callbacks SET due_us = 4611686018427387904, until_us = "
                             "4611686018427387904",
                             {}));
      return ok();
    };
    co_return co_await at.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(spoil(*f.database)));
  f.reopen();
  REQUIRE(f.loop.run_task(f.queue->callbacks().begin()));
  CHECK(*view(f, "fc-1").next_try < wall_now() + std::chrono::hours(3));
  CHECK(*view(f, "fc-1").until < wall_now() + std::chrono::hours(24 * 8));
}
