// SPDX-License-Identifier: Apache-2.0
// Pieces of calls: who is behind slows its own call and nobody else's; what nobody reads goes.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "thaw/queue/call_queue.h"
#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::LogEntry;
using model::OutcomeKind;

namespace {

QueueLimits small() {
  QueueLimits limits;
  limits.unread_bytes_per_call = 10'000;
  limits.replay_bytes_per_call = 5'000;
  limits.largest_piece_bytes = 15'000;
  limits.stored_piece_bytes_per_call = 10'000;
  limits.payload_bytes_in_memory = 10'000'000;
  return limits;
}

struct Flow : Fixture {
  explicit Flow(QueueLimits given = small()) : Fixture(given) {}

  std::vector<model::InputId> run(const std::string& name,
                                  model::Durability durability = model::Durability::memory) {
    auto ids = create(call(name, durability), {"in"});
    queue->lease(function, container("ta-1"), 1);
    return ids;
  }
  static LogEntry piece(std::size_t bytes, const std::string& by = "ta-1") {
    LogEntry entry;
    entry.container = container(by);
    entry.payload.bytes = std::string(bytes, 'x');
    return entry;
  }
  using Answer = std::optional<Result<std::uint64_t>>;
  void start_append(const std::string& name, std::size_t bytes, Answer& answer) {
    const auto body = [](CallQueue& q, model::CallId to, LogEntry entry,
                         Answer& out) -> async::Task<void> {
      out = co_await q.append(std::move(to), std::move(entry));
      co_return ok();
    };
    tasks.start("append", body(*queue, id(name), piece(bytes), answer));
    turn();
  }
  Code append(const std::string& name, std::size_t bytes) {
    Answer answer;
    start_append(name, bytes, answer);
    return !answer ? Code::unavailable : *answer ? Code::ok : answer->error().code();
  }
};

}  // namespace

TEST_CASE("a reader that is behind slows its call, and frees it when it takes what is there") {
  Flow f;
  f.run("fc-1");
  CHECK(f.append("fc-1", 4'000) == Code::ok);
  CHECK(f.append("fc-1", 4'000) == Code::ok);
  Flow::Answer third;
  f.start_append("fc-1", 4'000, third);
  CHECK_FALSE(third);
  f.queue->take(f.id("fc-1"), 1);
  f.turn();
  REQUIRE(third);
  CHECK(**third == 3);
  // What was taken is there for a while, for a reader whose connection broke, and then is not.
  CHECK(f.read("fc-1", 0).front().number == 1);
  f.queue->take(f.id("fc-1"), 3);
  CHECK(f.read("fc-1", 0).front().number == 3);
}

TEST_CASE("of a call that nobody reads little is held, and other calls go on") {
  Flow f;
  f.run("fc-1");
  Flow::Answer waiting[2];
  while (!waiting[0]) {
    waiting[0].reset();
    f.start_append("fc-1", 4'000, waiting[0]);
    if (!waiting[0]) {
      break;
    }
    waiting[0].reset();
  }
  f.start_append("fc-1", 4'000, waiting[1]);
  CHECK(f.append("fc-1", 4'000) == Code::resource_exhausted);  // an honest container sends one
  CHECK(f.append("fc-1", 20'000) == Code::invalid_argument);
  f.run("fc-2");
  CHECK(f.append("fc-2", 4'000) == Code::ok);
  CHECK(f.read_now("fc-1").size() <= 2);
  // Whose input has ended is told.
  f.complete(f.queue->leased_by(f.container("ta-1"))[0].input, "ta-1", OutcomeKind::success, "");
  f.turn();
  REQUIRE(waiting[0]);
  CHECK(waiting[0]->error().code() == Code::failed_precondition);
  CHECK(waiting[1]->error().code() == Code::failed_precondition);
}

TEST_CASE("a piece larger than the bound is taken while there is no other") {
  Flow f;
  f.run("fc-1");
  CHECK(f.append("fc-1", 12'000) == Code::ok);
  Flow::Answer next;
  f.start_append("fc-1", 12'000, next);
  CHECK_FALSE(next);
  f.queue->take(f.id("fc-1"), 1);
  f.turn();
  REQUIRE(next);
  CHECK(*next);
}

TEST_CASE("a cancelled call's pieces are dropped, its memory goes with its end") {
  Flow f;
  const auto ids = f.run("fc-1");
  CHECK(f.append("fc-1", 4'000) == Code::ok);
  CHECK(f.append("fc-1", 4'000) == Code::ok);
  Flow::Answer waiting;
  f.start_append("fc-1", 4'000, waiting);
  CHECK_FALSE(waiting);
  const auto running = f.loop.run_task(f.queue->cancel(f.id("fc-1")));
  REQUIRE(running);
  CHECK(running->size() == 1);
  f.queue->forget(f.id("fc-1"));
  f.turn();
  REQUIRE(waiting);
  CHECK(**waiting == 0);
  f.complete(ids[0], "ta-1", OutcomeKind::terminated, "");
  f.turn();
  CHECK(f.read_code("fc-1") == Code::not_found);
}

TEST_CASE("pieces of a durable call have a bound on disk") {
  Flow f;
  f.run("fc-1", model::Durability::durable);
  for (int i = 0; i < 2; ++i) {
    auto stored = f.loop.run_task(f.queue->append(f.id("fc-1"), Flow::piece(4'000)));
    CHECK(stored);
  }
  const auto third = f.loop.run_task(f.queue->append(f.id("fc-1"), Flow::piece(4'000)));
  REQUIRE(!third);
  CHECK(third.error().code() == Code::resource_exhausted);
  // After a crash it has what it had.
  f.reopen();
  f.queue->lease(f.function, f.container("ta-2"), 1);
  const auto fourth = f.loop.run_task(f.queue->append(f.id("fc-1"), Flow::piece(4'000, "ta-2")));
  REQUIRE(!fourth);
  CHECK(fourth.error().code() == Code::resource_exhausted);
  // What is refused does not count.
  CHECK(f.loop.run_task(f.queue->append(f.id("fc-1"), Flow::piece(100, "ta-2"))));
}

TEST_CASE("pieces of a durable call that come at once have the same bound") {
  Flow f;
  f.run("fc-1", model::Durability::durable);
  std::vector<Flow::Answer> answers(6);
  for (Flow::Answer& answer : answers) {
    f.start_append("fc-1", 4'000, answer);
  }
  f.join();
  const auto stored = [](const Flow::Answer& answer) { return answer && *answer; };
  CHECK(std::count_if(answers.begin(), answers.end(), stored) == 2);
}

TEST_CASE("results that a map's reader has taken leave the memory") {
  Flow f;
  f.create(f.call("fc-1"), {});
  for (int i = 0; i < 100; ++i) {
    const auto ids = f.add("fc-1", {{i, {"in"}}});
    f.queue->lease(f.function, f.container("ta-1"), 1);
    f.complete(ids[0], "ta-1", OutcomeKind::success, std::string(200'000, 'y'));
    const auto log = f.read("fc-1", static_cast<std::uint64_t>(i));
    REQUIRE(log.size() == 1);
    CHECK(log[0].payload.bytes.size() == 200'000);
    f.queue->take(f.id("fc-1"), log[0].number);
  }
  const auto log = f.read("fc-1", 0, 1'000);
  CHECK(log.size() == 100);  // what became of each is still known
  CHECK(payloads(log).size() <= 200'000);
}

TEST_CASE("results that nobody comes for give way to new calls of their function") {
  QueueLimits limits;
  limits.payload_bytes_in_memory = 1'000'000;
  Flow f(limits);
  const auto ids = f.create(f.call("fc-old"), {"in"});
  f.queue->lease(f.function, f.container("ta-1"), 1);
  const auto wait = [&f](const model::InputId& input, const char* by, Duration patience) {
    return f.loop.run_task(
        f.queue->wait_for_room(input, f.container(by), 800'000, monotonic_now() + patience));
  };
  CHECK(wait(ids[0], "ta-1", 20s));
  f.complete(ids[0], "ta-1", OutcomeKind::success, std::string(800'000, 'y'));
  const auto next = f.create(f.call("fc-next"), {"in"});
  f.queue->lease(f.function, f.container("ta-2"), 1);
  // It is too young to go, so the next one waits, and is told in the end.
  const auto room = wait(next[0], "ta-2", 5ms);
  REQUIRE_FALSE(room);
  CHECK(room.error().code() == Code::resource_exhausted);
  // A container that does not have the input makes nothing give way, and learns nothing.
  CHECK(wait(next[0], "ta-3", 5ms));
  CHECK(wait(model::InputId("in-none"), "ta-3", 5ms));
  f.queue->forget_all(f.function);
  CHECK(f.read_code("fc-old") == Code::not_found);
  CHECK(wait(next[0], "ta-2", 20s));
}

TEST_CASE("a container that dies uses up a retry of its inputs, and then ends them") {
  for (const auto durability : {model::Durability::memory, model::Durability::durable}) {
    Flow f;
    model::NewCall call = f.call("fc-1", durability);
    call.retry = {2, 0s, 0s, 1.0};
    f.create(call, {"in"});
    for (int attempt = 1; attempt <= 3; ++attempt) {
      const LeasedInput lease = f.wait_lease("ta-1");
      CHECK(lease.attempt == attempt);
      CHECK(lease.retry == attempt - 1);
      f.release("ta-1", {OutcomeKind::failure, {"it exited"}});
    }
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 1);
    CHECK(log[0].attempts == 3);
    CHECK(log[0].outcome == OutcomeKind::failure);
    CHECK(log[0].payload.bytes == "it exited");
  }
}

TEST_CASE("deaths that are not the user's do not use up retries") {
  Flow f;
  model::NewCall call = f.call("fc-1", model::Durability::durable);
  call.retry = {1, 0s, 0s, 1.0};
  f.create(call, {"in"});
  f.wait_lease("ta-1");
  f.release("ta-1", {OutcomeKind::failure, {"it exited"}});
  for (int i = 0; i < f.limits.redeliveries; ++i) {
    CHECK(f.wait_lease("ta-1").retry == 1);
    f.release("ta-1");
  }
  // Nor do the deaths of servers use up redeliveries.
  for (int i = 0; i < 10; ++i) {
    f.reopen();
    f.wait_lease("ta-1");
  }
  f.release("ta-1");
  const LeasedInput last = f.wait_lease("ta-1");
  CHECK(last.attempt == 12 + f.limits.redeliveries);
  f.complete(last.input, "ta-1", OutcomeKind::success, "out");
  CHECK(f.read("fc-1", 0).back().outcome == OutcomeKind::success);
}

TEST_CASE("a call whose output has begun to leave is not delivered again") {
  Flow f;
  f.run("fc-1");
  f.queue->forbid_repeats(f.id("fc-1"));
  f.release("ta-1", {OutcomeKind::internal_failure, {"killed"}});
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 1);
  CHECK(log[0].payload.bytes == "killed");
}

TEST_CASE("the inputs of a cancelled call end as cancelled when their container exits") {
  Flow f;
  f.run("fc-1");
  CHECK(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
  f.release("ta-1", {OutcomeKind::failure, {"it exited"}});
  CHECK(f.read("fc-1", 0).front().outcome == OutcomeKind::terminated);
}

TEST_CASE("a function that cannot start ends what waits, and not what runs") {
  Flow f;
  f.run("fc-1");
  f.create(f.call("fc-2"), {"in"});
  CHECK(
      f.loop.run_task(f.queue->fail_waiting(f.function, {OutcomeKind::terminated, {"no start"}})));
  CHECK(f.read("fc-2", 0).front().payload.bytes == "no start");
  CHECK(f.read_now("fc-1").empty());
  CHECK(f.queue->demand(f.function).unfinished == 1);
}
