// SPDX-License-Identifier: Apache-2.0
// Durable calls: what survives the process, and what happens while the disk is at work.
#include <doctest/doctest.h>

#include <future>
#include <set>

#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::LogEntry;
using model::OutcomeKind;

namespace {

bool is_final(const LogEntry& entry) { return entry.kind == LogEntry::Kind::final_; }

void run_sql(Fixture& f, const std::string& statement) {
  const auto body = [](store::Database& database, std::string text) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [text](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction).run(text, {}));
      return ok();
    };
    co_return co_await database.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(body(*f.database, statement)));
}

template <class T>
async::Task<void> into(async::Task<T> task, std::optional<Result<T>>& out) {
  out.emplace(co_await std::move(task));
  co_return ok();
}

}  // namespace

TEST_CASE("an acknowledged call runs after a crash, and its attempts are counted") {
  Fixture f;
  model::NewCall call = f.call("fc-1", Durability::durable);
  call.workspace = model::WorkspaceId("ws-1");
  call.app = model::AppId("ap-1");
  call.retry = {3, 1ms, 2s, 1.5};
  call.parent_input = model::InputId("in-parent");
  call.options = std::string("\0opaque", 7);
  const std::string payload("a\0\xff", 3);
  const auto ids = f.create(call, {payload, "b", "c"});
  CHECK(f.queue->lease(f.function, f.container("ta-1"), 1).size() == 1);
  f.reopen();
  CHECK(f.queue->targets_with_demand() == std::vector<model::Target>{f.function});
  const auto leases = f.queue->lease(f.function, f.container("ta-2"), 10);
  CHECK(payloads(leases) == payload + "bc");
  CHECK(leases[0].input == ids[0]);
  CHECK(leases[0].attempt == 2);
  CHECK(leases[1].attempt == 1);
  CHECK(leases[0].durability == Durability::durable);
  f.complete(ids[0], "ta-1", OutcomeKind::success, "from the dead");
  f.complete(ids[0], "ta-2", OutcomeKind::success, "done");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].attempts == 2);
  CHECK(log[0].payload.bytes == "done");
  const auto info = f.loop.run_task(f.queue->info(f.id("fc-1")));
  REQUIRE(info);
  CHECK(info->call.workspace == call.workspace);
  CHECK(info->call.app == call.app);
  CHECK(info->call.function == call.function);
  CHECK(info->call.retry.max_retries == 3);
  CHECK(info->call.retry.initial_delay == 1ms);
  CHECK(info->call.retry.max_delay == 2s);
  CHECK(info->call.retry.backoff == 1.5);
  CHECK(info->call.parent_input == call.parent_input);
  CHECK(info->call.options == call.options);
  CHECK(info->inputs == 3);
  CHECK(info->unfinished == 2);
}

TEST_CASE("inputs come back in the order of their arrival over all calls") {
  Fixture f;
  f.create(f.call("fc-9", Durability::durable), {"a"});
  f.create(f.call("fc-1", Durability::durable), {"b"});
  f.add("fc-9", {{1, {"c"}}});
  f.add("fc-1", {{1, {"d"}}});
  f.reopen();
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 10)) == "abcd");
}

TEST_CASE("a result is read again and again, also after a restart, in windows of any size") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), std::vector<std::string>(300, ""));
  f.queue->lease(f.function, f.container("ta-1"), 300);
  for (int i = 0; i < 300; ++i) {
    const auto at = static_cast<std::size_t>((i * 7) % 300);
    f.complete(ids[at], "ta-1", OutcomeKind::success, "result " + std::to_string(at));
  }
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t max : {1'000, 49, 1}) {
      std::uint64_t after = 0;
      std::set<int> indexes;
      while (true) {
        const auto log = f.read("fc-1", after, max);
        if (log.empty()) {
          break;
        }
        CHECK(log.size() <= max);
        for (const LogEntry& entry : log) {
          CHECK(entry.number == ++after);
          CHECK(entry.payload.bytes == "result " + std::to_string(entry.index));
          indexes.insert(entry.index);
        }
      }
      CHECK(indexes.size() == 300);
    }
    const auto wanted = [](const LogEntry& entry) { return entry.index == 299; };
    const auto one = f.loop.run_task(f.queue->read(f.id("fc-1"), 0, 1, monotonic_now(), wanted));
    REQUIRE(one);
    REQUIRE(one->size() == 1);
    CHECK(one->front().payload.bytes == "result 299");
    f.reopen();
  }
  CHECK(f.queue->targets_with_demand().empty());
}

TEST_CASE("get() with a deadline polls a call that still runs, before and after a restart") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"in"});
  const auto poll = [&f] {
    const auto log = f.loop.run_task(f.queue->read(f.id("fc-1"), 0, 1, monotonic_now(), is_final));
    REQUIRE(log);
    return log->size();
  };
  CHECK(poll() == 0);
  f.reopen();
  CHECK(poll() == 0);
  CHECK(f.loop.run_task(f.queue->info(f.id("fc-1")))->unfinished == 1);
  std::vector<LogEntry> seen;
  f.start_read("fc-1", 0, seen);
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.complete(ids[0], "ta-1", OutcomeKind::success, "out");
  f.join();
  CHECK(payloads(seen) == "out");
  CHECK(poll() == 1);
  CHECK(poll() == 1);
  f.queue->forget(f.id("fc-1"));
  CHECK(poll() == 1);
  CHECK(f.create_code(f.call("fc-1", Durability::durable), {}) == Code::already_exists);
  f.reopen();
  CHECK(f.create_code(f.call("fc-1", Durability::durable), {}) == Code::already_exists);
}

TEST_CASE("pieces of a durable call are on disk, numbered without gaps") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  for (std::uint64_t i = 1; i <= 200; ++i) {
    LogEntry piece;
    piece.payload.bytes = std::to_string(i);
    const auto number = f.loop.run_task(f.queue->append(f.id("fc-1"), std::move(piece)));
    REQUIRE(number);
    CHECK(*number == i);
  }
  for (int round = 0; round < 2; ++round) {
    const auto log = f.read("fc-1", 0, 1'000);
    std::uint64_t expected = 0;
    for (const LogEntry& entry : log) {
      CHECK(entry.number == ++expected);
      CHECK(entry.payload.bytes == std::to_string(entry.number));
    }
    std::uint64_t after = expected;
    while (after < 200) {
      const auto more = f.read("fc-1", after, 1'000);
      REQUIRE_FALSE(more.empty());
      after = more.back().number;
    }
    const auto even = [](const LogEntry& entry) { return entry.number % 2 == 0; };
    const auto some =
        f.loop.run_task(f.queue->read(f.id("fc-1"), 20, 3, monotonic_now() + 5s, even));
    REQUIRE(some);
    CHECK(payloads(*some) == "222426");
    f.reopen();
  }
  f.queue->lease(f.function, f.container("ta-2"), 1);
  LogEntry piece;
  piece.container = f.container("ta-2");
  CHECK(*f.loop.run_task(f.queue->append(f.id("fc-1"), piece)) == 201);
  f.complete(ids[0], "ta-2", OutcomeKind::success, "end");
  CHECK(f.read("fc-1", 201).front().number == 202);
}

TEST_CASE("a repeated index is the same input after a restart") {
  Fixture f;
  f.create(f.call("fc-1", Durability::durable), {});
  const auto first = f.add("fc-1", {{0, {"a"}}, {7, {"b"}}});
  f.reopen();
  CHECK(f.add("fc-1", {{7, {"other"}}}) == std::vector{first[1]});
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
  CHECK(payloads(leases) == "ab");
  for (const auto& lease : leases) {
    f.complete(lease.input, "ta-1", OutcomeKind::success, "x");
  }
  f.reopen();
  CHECK(f.add("fc-1", {{0, {"again"}}}) == std::vector{first[0]});
  CHECK(f.queue->demand(f.function).ready == 0);
  const auto more = f.add("fc-1", {{8, {"new"}}});
  f.reopen();
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 10)) == "new");
  CHECK(*f.queue->call_of(more[0]) == f.id("fc-1"));
}

TEST_CASE("the same index sent twice at once is one input, and both are told after the disk") {
  Fixture f;
  f.create(f.call("fc-1", Durability::durable), {});
  std::optional<Result<std::vector<model::InputId>>> one;
  std::optional<Result<std::vector<model::InputId>>> two;
  f.tasks.start("one", into(f.queue->add_inputs(f.id("fc-1"), {{0, {"a"}}}), one));
  f.tasks.start("two", into(f.queue->add_inputs(f.id("fc-1"), {{0, {"b"}}, {1, {"c"}}}), two));
  f.join();
  REQUIRE(*one);
  REQUIRE(*two);
  CHECK((*one)->front() == (*two)->front());
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 10)) == "ac");
}

TEST_CASE("retries are counted over a restart, and one that waits is ready again") {
  Fixture f;
  model::NewCall call = f.call("fc-1", Durability::durable);
  call.retry = {1, 1h, 1h, 1};
  const auto ids = f.create(call, {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.complete(ids[0], "ta-1", OutcomeKind::failure, "first");
  CHECK(f.queue->demand(f.function).ready == 0);
  f.reopen();
  const auto leases = f.queue->lease(f.function, f.container("ta-2"), 1);
  REQUIRE(leases.size() == 1);
  CHECK(leases[0].attempt == 2);
  CHECK(leases[0].retry == 1);
  f.complete(ids[0], "ta-2", OutcomeKind::failure, "second");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].payload.bytes == "second");
}

TEST_CASE("a cancelled call's running inputs end as terminated after a restart") {
  Fixture f;
  f.create(f.call("fc-1", Durability::durable), {"a", "b"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  REQUIRE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
  f.reopen();
  CHECK(f.queue->demand(f.function).ready == 0);
  const auto log =
      f.loop.run_task(f.queue->read(f.id("fc-1"), 0, 10, monotonic_now() + 10s,
                                    [](const LogEntry& entry) { return entry.index == 0; }));
  REQUIRE(log);
  REQUIRE(log->size() == 1);
  CHECK(log->front().outcome == OutcomeKind::terminated);
  CHECK(f.loop.run_task(f.queue->info(f.id("fc-1")))->unfinished == 0);
}

TEST_CASE("results expire") {
  QueueLimits limits;
  limits.keep_results = 0s;
  Fixture f(limits);
  for (int i = 0; i < 450; ++i) {
    f.create(f.call("fc-" + std::to_string(i), Durability::durable), {"in"});
  }
  for (const auto& lease : f.queue->lease(f.function, f.container("ta-1"), 449)) {
    f.complete(lease.input, "ta-1", OutcomeKind::success, "out");
  }
  f.reopen();
  CHECK(f.read_code("fc-0") == Code::ok);
  f.reopen();
  CHECK(f.read_code("fc-1") == Code::ok);  // and is in memory from here on
  REQUIRE(f.loop.run_task(f.queue->sweep()));
  for (int i = 0; i < 449; ++i) {
    CHECK(f.read_code("fc-" + std::to_string(i)) == Code::not_found);
  }
  CHECK(f.read_code("fc-449") == Code::ok);
  CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).size() == 1);
}

TEST_CASE("two outcomes at once: the first wins, and the second is told only after the disk") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  std::optional<Result<void>> first;
  std::optional<Result<void>> second;
  f.tasks.start("one", into(f.queue->complete(ids[0], f.container("ta-1"), f.success("1")), first));
  f.tasks.start("two",
                into(f.queue->complete(ids[0], f.container("ta-1"), f.success("2")), second));
  f.join();
  CHECK(*first);
  CHECK(*second);
  f.reopen();
  CHECK(payloads(f.read("fc-1", 0)) == "1");
}

TEST_CASE("a container that dies while its outcome is on the way to the disk has completed") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.tasks.start("complete", f.queue->complete(ids[0], f.container("ta-1"), f.success("out")));
  f.tasks.start("release", f.queue->release(f.container("ta-1"), {OutcomeKind::internal_failure}));
  f.tasks.start("cancel", [](CallQueue& q, model::CallId call) -> async::Task<void> {
    THAW_CO_TRY([[maybe_unused]] const auto running, co_await q.cancel(std::move(call)));
    co_return ok();
  }(*f.queue, f.id("fc-1")));
  f.join();
  CHECK(f.queue->demand(f.function).ready == 0);
  CHECK(f.queue->demand(f.function).leased == 0);
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].payload.bytes == "out");
}

TEST_CASE("what the disk refuses has not happened") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"a", "b", "c"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.queue->lease(f.function, f.container("ta-2"), 1);
  f.turn();
  f.database->close();
  CHECK(f.create_code(f.call("fc-2", Durability::durable), {"x"}) == Code::unavailable);
  CHECK(f.create_code(f.call("fc-2"), {"x"}) == Code::ok);  // not already_exists
  const auto refused =
      f.loop.run_task(f.queue->complete(ids[0], f.container("ta-1"), f.success("out")));
  REQUIRE_FALSE(refused);
  CHECK(f.queue->leased_by(f.container("ta-1")).size() == 1);
  CHECK_FALSE(f.loop.run_task(f.queue->add_inputs(f.id("fc-1"), {{5, {"x"}}})));
  CHECK_FALSE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
  // A container that dies with an outcome nobody could store leaves its input to another.
  CHECK_FALSE(
      f.loop.run_task(f.queue->release(f.container("ta-2"), {OutcomeKind::failure, {"exit 1"}})));
  CHECK(f.queue->leased_by(f.container("ta-2")).empty());
  CHECK(f.queue->demand(f.function).leased == 1);
  CHECK(f.queue->demand(f.function).ready == 3);
  CHECK(f.read_now("fc-1").empty());
}

TEST_CASE("an input that may not begin again does not, though the disk refuses its end") {
  Fixture f;
  model::NewCall call = f.call("fc-1", Durability::durable);
  call.limits.redeliveries = 0;
  f.create(call, {"in"});
  REQUIRE(f.queue->lease(f.function, f.container("ta-1"), 1).size() == 1);
  f.turn();
  f.database->close();
  CHECK_FALSE(f.loop.run_task(
      f.queue->release(f.container("ta-1"), {OutcomeKind::internal_failure, {"killed"}})));
  CHECK(f.queue->lease(f.function, f.container("ta-2"), 1).empty());
  CHECK(f.queue->demand(f.function).unfinished == 1);
}

TEST_CASE("a damaged result is data_loss, a damaged input ends as a failure of the platform") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"a", "b"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.complete(ids[0], "ta-1", OutcomeKind::success, "precious");
  run_sql(f, "UPDATE inputs SET payload = CAST('B' AS BLOB) WHERE ended = 0");
  f.reopen();
  const auto log = f.loop.run_task(f.queue->read(f.id("fc-1"), 1, 1, monotonic_now() + 10s, {}));
  REQUIRE(log);
  REQUIRE(log->size() == 1);
  CHECK(log->front().outcome == OutcomeKind::internal_failure);
  run_sql(f, "UPDATE call_log SET payload = CAST('preciouS' AS BLOB) WHERE number = 1");
  f.reopen();
  CHECK(f.read_code("fc-1") == Code::data_loss);
}

TEST_CASE("the queue may go away while tasks wait in it") {
  Fixture f;
  f.create(f.call("fc-1"), {"in"});
  model::NewCall call = f.call("fc-2", Durability::durable);
  call.retry = {1, 1h, 1h, 1};
  const auto ids = f.create(call, {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 2);
  f.complete(ids[0], "ta-1", OutcomeKind::failure, "");  // starts the timer of retries
  std::optional<Result<std::vector<LogEntry>>> read;
  std::optional<Result<std::vector<model::InputId>>> create;
  f.tasks.start("read", into(f.queue->read(f.id("fc-1"), 0, 1, Instant::max(), {}), read));
  // The disk is as slow as it takes.
  const auto is_gone = std::make_shared<std::promise<void>>();
  f.database->write_later([is_gone](store::Transaction&) -> Result<void> {
    is_gone->get_future().wait();
    return ok();
  });
  f.tasks.start(
      "create",
      into(f.queue->create(f.call("fc-3", Durability::durable), Fixture::inputs({"x"})), create));
  const auto body = [](Fixture& fixture, std::promise<void>& gone) -> async::Task<bool> {
    THAW_CO_TRY_VOID(co_await async::yield());
    THAW_CO_TRY_VOID(co_await async::yield());
    fixture.queue.reset();
    gone.set_value();
    co_return co_await fixture.tasks.join(monotonic_now() + 20s);
  };
  CHECK(*f.loop.run_task(body(f, *is_gone)));
  REQUIRE_FALSE(*read);
  CHECK(read->error().code() == Code::cancelled);
  REQUIRE_FALSE(*create);
  CHECK(create->error().code() == Code::cancelled);
  f.reopen();
}

TEST_CASE("a caller that goes away does not tear what it began") {
  Fixture f;
  std::optional<Result<std::vector<model::InputId>>> create;
  auto handle = f.tasks.start(
      "create",
      into(f.queue->create(f.call("fc-1", Durability::durable), Fixture::inputs({"x"})), create));
  const auto body = [](Fixture& fixture, async::TaskGroup::Handle task) -> async::Task<bool> {
    THAW_CO_TRY_VOID(co_await async::yield());
    task.cancel();
    co_return co_await fixture.tasks.join(monotonic_now() + 20s);
  };
  CHECK(*f.loop.run_task(body(f, handle)));
  CHECK(*create);
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 10)) == "x");
}

TEST_CASE("a durable call is made once, however often and whenever it is asked for") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"a", "b"});
  CHECK(f.create_code(f.call("fc-1", Durability::durable), {"a", "b"}) == Code::already_exists);
  f.reopen();
  CHECK(f.create_code(f.call("fc-1", Durability::durable), {"a", "b"}) == Code::already_exists);
  CHECK(f.add("fc-1", f.inputs({"a", "b"})) == ids);
  CHECK(f.queue->lease(f.function, f.container("ta-1"), 10).size() == 2);
  f.complete(ids[0], "ta-1", OutcomeKind::success, "done");
  f.complete(ids[1], "ta-1", OutcomeKind::success, "done");
  f.reopen();
  // It has ended and is on disk only.
  CHECK(f.create_code(f.call("fc-1", Durability::durable), {"a", "b"}) == Code::already_exists);
  CHECK(f.add("fc-1", f.inputs({"a", "b"})) == ids);
  CHECK(f.queue->lease(f.function, f.container("ta-2"), 10).empty());
  CHECK(f.read("fc-1", 0).size() == 2);
}

TEST_CASE("inputs that a cancelled call has are named to who asks again; new ones are refused") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"a"});
  REQUIRE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
  CHECK(f.add("fc-1", f.inputs({"a"})) == ids);
  const auto more = f.loop.run_task(f.queue->add_inputs(f.id("fc-1"), f.inputs({"a", "b"})));
  REQUIRE(!more);
  CHECK(more.error().code() == Code::failed_precondition);
}

TEST_CASE("what durable calls of a workspace have on disk is a part of its share") {
  Fixture f;
  f.disk.emplace(f.folder.path(),
                 store::DiskLimits{.bytes_per_owner = 500'000, .reserve_bytes = 0});
  f.reopen();
  const auto used = [&f](const std::string& workspace) { return f.disk->used(workspace); };
  const auto call_of = [&f](const std::string& workspace, const std::string& name) {
    model::NewCall call = f.call(name, Durability::durable);
    call.workspace = model::WorkspaceId(workspace);
    return call;
  };
  const auto ids = f.create(call_of("ac-ann", "fc-1"), {std::string(300'000, 'a')});
  CHECK(used("ac-ann") >= 300'000);
  CHECK(f.create_code(call_of("ac-ann", "fc-2"), {std::string(300'000, 'a')}) ==
        Code::resource_exhausted);
  CHECK(f.create_code(call_of("ac-bob", "fc-3"), {std::string(300'000, 'b')}) == Code::ok);
  // Its argument makes room for its result.
  REQUIRE(f.queue->lease(f.function, f.container("ta-1"), 1).size() == 1);
  LogEntry piece;
  piece.payload.bytes = std::string(150'000, 'p');
  REQUIRE(f.loop.run_task(f.queue->append(f.id("fc-1"), piece)));
  const auto more = f.loop.run_task(f.queue->append(f.id("fc-1"), piece));
  REQUIRE(!more);
  CHECK(more.error().code() == Code::resource_exhausted);
  f.complete(ids[0], "ta-1", OutcomeKind::success, std::string(10'000, 'r'));
  CHECK(used("ac-ann") < 170'000);
  // What was counted is what is there.
  const std::uint64_t counted = used("ac-ann");
  const auto find = [](std::string_view, std::vector<std::string>&) {};
  const auto note = [](const model::WorkspaceId&, const std::string&) {};
  REQUIRE(f.loop.run_task(f.queue->visit_references(find, note)));
  CHECK(used("ac-ann") <= counted);
  CHECK(used("ac-ann") + 1'000 > counted);
  CHECK(used("ac-bob") >= 300'000);
}

TEST_CASE("a large result past the share of its workspace ends its input without one") {
  Fixture f;
  f.disk.emplace(f.folder.path(),
                 store::DiskLimits{.bytes_per_owner = 200'000, .reserve_bytes = 0});
  f.reopen();
  const auto ids = f.create(f.call("fc-1", Durability::durable), {"a", "b"});
  REQUIRE(f.queue->lease(f.function, f.container("ta-1"), 2).size() == 2);
  f.complete(ids[0], "ta-1", OutcomeKind::success, std::string(300'000, 'r'));
  f.complete(ids[1], "ta-1", OutcomeKind::success, "small");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 2);
  CHECK(log[0].outcome == OutcomeKind::failure);
  CHECK(log[0].payload.empty());
  CHECK(log[1].payload.bytes == "small");
}
