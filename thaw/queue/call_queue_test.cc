// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/call_queue.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "thaw/async/task_group.h"
#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::LogEntry;
using model::OutcomeKind;

TEST_CASE("a synchronous call is created, leased, completed and read, and then forgotten") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1"), {"in"});
  REQUIRE(ids.size() == 1);
  CHECK(ids[0].str().starts_with("in-"));
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
  REQUIRE(leases.size() == 1);
  CHECK(leases[0].input == ids[0]);
  CHECK(leases[0].payload.bytes == "in");
  CHECK(leases[0].attempt == 1);
  CHECK(leases[0].retry == 0);
  CHECK(*f.queue->call_of(ids[0]) == f.id("fc-1"));
  f.complete(ids[0], "ta-1", OutcomeKind::success, "out");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].number == 1);
  CHECK(log[0].kind == LogEntry::Kind::final_);
  CHECK(log[0].outcome == OutcomeKind::success);
  CHECK(log[0].payload.bytes == "out");
  CHECK(log[0].attempts == 1);
  CHECK(log[0].container == f.container("ta-1"));
  f.queue->forget(f.id("fc-1"));
  CHECK(f.read_code("fc-1") == Code::not_found);
  CHECK_FALSE(f.queue->call_of(ids[0]));
}

TEST_CASE("inputs are leased in the order of their arrival, up to the number asked for") {
  Fixture f;
  f.create(f.call("fc-1"), {"a", "b"});
  f.create(f.call("fc-2"), {"c"});
  CHECK(f.queue->demand(f.function).ready == 3);
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 2)) == "ab");
  CHECK(f.queue->demand(f.function).ready == 1);
  CHECK(f.queue->demand(f.function).leased == 2);
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-2"), 2)) == "c");
  CHECK(f.queue->lease(f.function, f.container("ta-2"), 2).empty());
  CHECK(payloads(f.queue->leased_by(f.container("ta-1"))) == "ab");
  CHECK(!f.queue->works_on(f.container("ta-2"), f.queue->leased_by(f.container("ta-1"))[0].call));
  CHECK(f.queue->works_on(f.container("ta-1"), f.queue->leased_by(f.container("ta-1"))[0].call));
  CHECK(f.queue->lease(model::FunctionId("fu-other"), f.container("ta-1"), 1).empty());
}

TEST_CASE("a reader waits for the final entry and is woken by it") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1"), {"in"});
  std::vector<LogEntry> seen;
  f.start_read("fc-1", 0, seen);
  f.start_read("fc-1", 0, seen);
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.tasks.start("complete", f.queue->complete(ids[0], f.container("ta-1"), f.success("out")));
  f.join();
  CHECK(seen.size() == 2);
}

TEST_CASE("a reader's deadline ends its wait with nothing") {
  Fixture f;
  f.create(f.call("fc-1"), {"in"});
  const auto log =
      f.loop.run_task(f.queue->read(f.id("fc-1"), 0, 10, monotonic_now() + 5ms, nullptr));
  REQUIRE(log);
  CHECK(log->empty());
}

TEST_CASE("a call without unfinished inputs does not hold a reader, unless it asks to wait") {
  Fixture f;
  f.create(f.call("fc-1"), {});
  CHECK(f.read("fc-1", 0).empty());
  const Instant before = monotonic_now();
  const auto log =
      f.loop.run_task(f.queue->read(f.id("fc-1"), 0, 10, before + 20ms, nullptr, WhenIdle::waits));
  REQUIRE(log);
  CHECK(log->empty());
  CHECK(monotonic_now() >= before + 20ms);
}

TEST_CASE("a map's finals come in any order after a number, and a repeated index is one input") {
  Fixture f;
  f.create(f.call("fc-1"), {});
  const auto first = f.add("fc-1", {{0, {"a"}}, {1, {"b"}}});
  const auto again = f.add("fc-1", {{1, {"other"}}, {2, {"c"}}, {2, {"d"}}});
  REQUIRE(again.size() == 3);
  CHECK(again[0] == first[1]);
  CHECK(again[1] == again[2]);
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
  CHECK(payloads(leases) == "abc");
  f.complete(leases[2].input, "ta-1", OutcomeKind::success, "C");
  f.complete(leases[0].input, "ta-1", OutcomeKind::success, "A");
  auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 2);
  CHECK(log[0].index == 2);
  CHECK(log[1].index == 0);
  f.complete(leases[1].input, "ta-1", OutcomeKind::success, "B");
  log = f.read("fc-1", 2);
  REQUIRE(log.size() == 1);
  CHECK(log[0].index == 1);
  CHECK(f.read("fc-1", 3).empty());
  CHECK(f.read("fc-1", 99).empty());
  CHECK(f.loop.run_task(f.queue->info(f.id("fc-1")))->inputs == 3);
}

TEST_CASE("a generator's reader takes chunks only, in order, while the input runs") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1"), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  for (const char* text : {"x", "y", "z"}) {
    LogEntry entry;
    entry.payload.bytes = text;
    entry.container = f.container("ta-1");
    CHECK(f.loop.run_task(f.queue->append(f.id("fc-1"), std::move(entry))));
  }
  f.complete(ids[0], "ta-1", OutcomeKind::success, "done");
  const auto chunks = [](const LogEntry& entry) { return entry.kind == LogEntry::Kind::chunk; };
  const auto log =
      f.loop.run_task(f.queue->read(f.id("fc-1"), 1, 10, monotonic_now() + 5s, chunks));
  REQUIRE(log);
  CHECK(payloads(*log) == "yz");
  CHECK((*log)[0].input == ids[0]);
  CHECK((*log)[0].attempts == 1);
  const auto none =
      f.loop.run_task(f.queue->read(f.id("fc-1"), 3, 10, monotonic_now() + 5s, chunks));
  CHECK(none->empty());
}

TEST_CASE("a piece is refused from a container that lost the input, and after the end") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1"), {"in"});
  LogEntry piece;
  piece.container = f.container("ta-1");
  const auto code = [&] {
    const auto result = f.loop.run_task(f.queue->append(f.id("fc-1"), piece));
    return result ? Code::ok : result.error().code();
  };
  CHECK(code() == Code::failed_precondition);  // not leased yet
  f.queue->lease(f.function, f.container("ta-1"), 1);
  CHECK(code() == Code::ok);
  f.release("ta-1");
  CHECK(code() == Code::failed_precondition);
  f.queue->lease(f.function, f.container("ta-2"), 1);
  CHECK(code() == Code::failed_precondition);
  piece.container = f.container("ta-2");
  CHECK(code() == Code::ok);
  piece.kind = LogEntry::Kind::final_;
  CHECK(code() == Code::invalid_argument);
  piece.kind = LogEntry::Kind::chunk;
  piece.input = model::InputId("in-unknown");
  CHECK(code() == Code::failed_precondition);
  piece.input = ids[0];
  f.complete(ids[0], "ta-2", OutcomeKind::success, "");
  CHECK(code() == Code::failed_precondition);
}

TEST_CASE("the first outcome wins, and only the container with the lease has one") {
  Fixture f;
  const auto ids = f.create(f.call("fc-1"), {"in"});
  f.complete(ids[0], "ta-1", OutcomeKind::success, "before the lease");
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.complete(ids[0], "ta-2", OutcomeKind::success, "not mine");
  f.release("ta-1");
  f.queue->lease(f.function, f.container("ta-2"), 1);
  f.complete(ids[0], "ta-1", OutcomeKind::success, "too late");
  CHECK(f.read_now("fc-1").empty());
  f.complete(ids[0], "ta-2", OutcomeKind::success, "right");
  f.complete(ids[0], "ta-2", OutcomeKind::failure, "again");
  f.complete(model::InputId("in-unknown"), "ta-2", OutcomeKind::success, "");
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].payload.bytes == "right");
  CHECK(log[0].attempts == 2);
}

TEST_CASE("a failure is retried by the call's policy, and the last one is the result") {
  for (const auto durability : {model::Durability::memory, model::Durability::durable}) {
    Fixture f;
    model::NewCall call = f.call("fc-1", durability);
    call.retry.max_retries = 2;
    call.retry.initial_delay = 1ms;
    const auto ids = f.create(call, {"in"});
    for (int attempt = 1; attempt <= 3; ++attempt) {
      const LeasedInput lease = f.wait_lease("ta-1");
      CHECK(lease.attempt == attempt);
      CHECK(lease.retry == attempt - 1);
      CHECK(lease.payload.bytes == "in");
      CHECK(f.read_now("fc-1").empty());
      const OutcomeKind kind = attempt == 2 ? OutcomeKind::timeout : OutcomeKind::failure;
      f.complete(ids[0], "ta-1", kind, "failed " + std::to_string(attempt));
    }
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 1);
    CHECK(log[0].payload.bytes == "failed 3");
    CHECK(log[0].outcome == OutcomeKind::failure);
    CHECK(log[0].attempts == 3);
  }
}

TEST_CASE("a lost container's inputs are ready again at the front, in their order") {
  Fixture f;
  f.create(f.call("fc-1"), {"a", "b", "c", "d"});
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-1"), 2)) == "ab");
  CHECK(payloads(f.queue->lease(f.function, f.container("ta-2"), 1)) == "c");
  f.release("ta-1");
  CHECK(f.queue->demand(f.function).leased == 1);
  const auto leases = f.queue->lease(f.function, f.container("ta-3"), 10);
  CHECK(payloads(leases) == "abd");
  CHECK(leases[0].attempt == 2);
  CHECK(leases[2].attempt == 1);
  f.release("ta-unknown");
}

TEST_CASE("an input that takes its containers down with it is buried after its redeliveries") {
  for (const auto durability : {model::Durability::memory, model::Durability::durable}) {
    Fixture f;
    f.create(f.call("fc-1", durability), {"poison"});
    int deliveries = 0;
    while (!f.queue->lease(f.function, f.container("ta-1"), 1).empty()) {
      ++deliveries;
      f.release("ta-1", {OutcomeKind::internal_failure, {"crashed"}});
    }
    CHECK(deliveries == 6);
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 1);
    CHECK(log[0].outcome == OutcomeKind::internal_failure);
    CHECK(log[0].payload.bytes == "crashed");
    CHECK(log[0].attempts == 6);
  }
}

TEST_CASE("a release with another verdict ends the inputs at once") {
  Fixture f;
  f.create(f.call("fc-1"), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  f.release("ta-1", {OutcomeKind::timeout, {"too slow"}});
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].outcome == OutcomeKind::timeout);
}

TEST_CASE("cancel ends what waits, names what runs, and nothing of the call runs again") {
  for (const auto durability : {model::Durability::memory, model::Durability::durable}) {
    Fixture f;
    model::NewCall call = f.call("fc-1", durability);
    call.retry.max_retries = 3;
    call.retry.initial_delay = 1h;
    const auto ids = f.create(call, {"a", "b", "c", "d"});
    f.queue->lease(f.function, f.container("ta-1"), 1);
    f.queue->lease(f.function, f.container("ta-2"), 1);
    f.queue->lease(f.function, f.container("ta-3"), 1);
    f.complete(ids[2], "ta-3", OutcomeKind::failure, "");  // waits for its retry
    const auto running = f.loop.run_task(f.queue->cancel(f.id("fc-1")));
    REQUIRE(running);
    CHECK(std::set<model::InputId>(running->begin(), running->end()) ==
          std::set<model::InputId>{ids[0], ids[1]});
    auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 2);
    CHECK(log[0].outcome == OutcomeKind::terminated);
    CHECK(log[0].index == 2);
    CHECK(log[1].index == 3);
    f.complete(ids[0], "ta-1", OutcomeKind::failure, "interrupted");
    f.release("ta-2");
    log = f.read("fc-1", 2);
    REQUIRE(log.size() == 2);
    CHECK(log[0].outcome == OutcomeKind::failure);
    CHECK(log[1].outcome == OutcomeKind::terminated);
    CHECK(f.queue->demand(f.function).ready == 0);
    const auto more = f.loop.run_task(f.queue->add_inputs(f.id("fc-1"), {{9, {"x"}}}));
    REQUIRE_FALSE(more);
    CHECK(more.error().code() == Code::failed_precondition);
    CHECK(f.loop.run_task(f.queue->info(f.id("fc-1")))->cancelled);
  }
}

TEST_CASE("a function that cannot run ends all of its inputs, wherever they are") {
  for (const auto durability : {model::Durability::memory, model::Durability::durable}) {
    Fixture f;
    f.create(f.call("fc-1", durability), {"a", "b", "c"});
    f.queue->lease(f.function, f.container("ta-1"), 1);
    CHECK(f.loop.run_task(f.queue->fail_all(f.function, {OutcomeKind::failure, {"no image"}})));
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 3);
    CHECK(payloads(log) == "no imageno imageno image");
    CHECK(f.queue->demand(f.function).ready == 0);
    CHECK(f.queue->demand(f.function).leased == 0);
    CHECK(f.queue->leased_by(f.container("ta-1")).empty());
    CHECK(f.loop.run_task(f.queue->fail_all(model::FunctionId("fu-no"), {})));
  }
}

TEST_CASE("a queue that is full says so and takes nothing") {
  QueueLimits limits;
  limits.ready_per_function = 3;
  limits.payload_bytes_in_memory = 100'000;
  Fixture f(limits);
  f.create(f.call("fc-1"), {"a", "b"});
  CHECK(f.create_code(f.call("fc-2"), {"c", "d"}) == Code::resource_exhausted);
  CHECK(f.create_code(f.call("fc-2"), {"c"}) == Code::ok);
  CHECK(f.create_code(f.call("fc-3"), {"d"}) == Code::resource_exhausted);
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
  CHECK(f.create_code(f.call("fc-4"), {std::string(99'000, 'x')}) == Code::resource_exhausted);
  CHECK(f.create_code(f.call("fc-4"), {"d"}) == Code::ok);
  CHECK(leases.size() == 3);
  CHECK(f.create_code(f.call("fc-1"), {}) == Code::already_exists);
  CHECK(f.loop.run_task(f.queue->add_inputs(f.id("fc-1"), {{-1, {}}})).error().code() ==
        Code::invalid_argument);
}

TEST_CASE("bytes are given back when calls go away") {
  QueueLimits limits;
  limits.payload_bytes_in_memory = 10'000;
  limits.keep_memory_results = 0s;
  Fixture f(limits);
  for (int i = 0; i < 100; ++i) {
    const std::string name = "fc-" + std::to_string(i);
    const auto ids = f.create(f.call(name), {std::string(5'000, 'x')});
    f.queue->lease(f.function, f.container("ta-1"), 1);
    f.complete(ids[0], "ta-1", OutcomeKind::success, std::string(4'000, 'y'));
    if (i % 2 == 0) {
      f.queue->forget(f.id(name));
    } else {
      CHECK(f.loop.run_task(f.queue->sweep()));
    }
    CHECK(f.read_code(name) == Code::not_found);
  }
}

TEST_CASE("control hears of changes in a later turn, once, and may call the queue then") {
  Fixture f;
  std::vector<std::string> heard;
  f.queue->on_demand([&](const model::Target& target) {
    heard.push_back(target.str() + " " + std::to_string(f.queue->demand(target).ready));
    f.queue->lease(target, f.container("ta-1"), 1);
  });
  f.create(f.call("fc-1"), {"a", "b", "c"});
  f.turn();
  // Each lease is a change itself: heard again until nothing changes.
  CHECK(heard == std::vector<std::string>{"fu-1 3", "fu-1 2", "fu-1 1", "fu-1 0"});
}

TEST_CASE("waiting containers are woken by a new input") {
  Fixture f;
  int woken = 0;
  const auto wait = [](Fixture& fixture, int& out) -> async::Task<void> {
    async::Event& ready = fixture.queue->ready(fixture.function);
    THAW_CO_TRY(const bool notified, co_await ready.wait(monotonic_now() + 10s));
    out += notified ? 1 : 0;
    co_return ok();
  };
  f.tasks.start("wait", wait(f, woken));
  f.turn();
  f.create(f.call("fc-1"), {"a"});
  f.join();
  CHECK(woken == 1);
}

TEST_CASE("a hundred thousand inputs over ten thousand functions") {
  QueueLimits limits;
  limits.ready_per_function = 200'000;
  Fixture f(limits);
  std::vector<std::string> many(100'000, "x");
  f.create(f.call("fc-big"), many);
  for (int i = 0; i < 10'000; ++i) {
    model::NewCall call = f.call("fc-" + std::to_string(i));
    call.function = model::FunctionId("fu-" + std::to_string(i + 100));
    f.create(call, {"x"});
  }
  CHECK(f.queue->targets_with_demand().size() == 10'001);
  std::size_t done = 0;
  std::uint64_t after = 0;
  while (done < 100'000) {
    const auto leases = f.queue->lease(f.function, f.container("ta-1"), 1'000);
    REQUIRE(leases.size() == 1'000);
    for (const LeasedInput& lease : leases) {
      f.complete(lease.input, "ta-1", OutcomeKind::success, "y");
    }
    const auto log = f.read("fc-big", after, 1'000);
    REQUIRE(log.size() == 1'000);
    after = log.back().number;
    done += log.size();
  }
  CHECK(after == 100'000);
  CHECK(f.loop.run_task(f.queue->info(f.id("fc-big")))->unfinished == 0);
}
