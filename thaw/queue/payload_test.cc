// SPDX-License-Identifier: Apache-2.0
// What payloads are, and what is said of inputs that did not end well.
#include <doctest/doctest.h>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::OutcomeKind;

namespace {

constexpr Durability both[] = {Durability::memory, Durability::durable};

void complete(Fixture& f, const LeasedInput& input, model::Outcome outcome) {
  REQUIRE(f.loop.run_task(
      f.queue->complete(input.input, Fixture::container("ta-1"), std::move(outcome))));
}

}  // namespace

TEST_CASE("a payload keeps its content type, and a failure its words") {
  for (const Durability durability : both) {
    Fixture f;
    const WallTime before = wall_now();
    std::vector<model::NewInput> inputs;
    inputs.push_back({0, {R"({"a": 1})", "application/json"}});
    inputs.push_back({1, {"a=1", "application/x-www-form-urlencoded"}});
    REQUIRE(f.loop.run_task(f.queue->create(f.call("fc-1", durability), std::move(inputs))));
    const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
    REQUIRE(leases.size() == 2);
    CHECK(leases[0].payload.content_type == "application/json");
    CHECK(leases[1].payload.content_type == "application/x-www-form-urlencoded");
    complete(f, leases[0], {OutcomeKind::success, {"", "text/plain"}, nullptr});
    complete(f, leases[1],
             model::failed(OutcomeKind::failure, {.type = "ValueError",
                                                  .message = "it is too small",
                                                  .trace = "line 1",
                                                  .retryable = true}));
    for (int round = 0; round < 2; ++round) {
      const auto log = f.read("fc-1", 0);
      REQUIRE(log.size() == 2);
      CHECK(log[0].payload.bytes.empty());
      CHECK(log[0].payload.content_type == "text/plain");
      CHECK(!log[0].payload.empty());
      CHECK(!log[0].failure);
      CHECK(log[0].at >= before);
      CHECK(log[1].payload.empty());
      REQUIRE(log[1].failure);
      CHECK(log[1].failure->type == "ValueError");
      CHECK(log[1].failure->message == "it is too small");
      CHECK(log[1].failure->trace == "line 1");
      CHECK(log[1].failure->retryable);
      CHECK(log[1].at >= log[0].at);
      if (durability == Durability::memory) {
        break;
      }
      f.reopen();
    }
  }
}

TEST_CASE("an input that the queue ends by itself has a failure that says why") {
  for (const Durability durability : both) {
    Fixture f;
    f.create(f.call("fc-1", durability), {"a"});
    REQUIRE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
    const auto log = f.read("fc-1", 0);
    REQUIRE(log.size() == 1);
    CHECK(log[0].outcome == OutcomeKind::terminated);
    REQUIRE(log[0].failure);
    CHECK(log[0].failure->type == model::failure_type::cancelled);
  }
}

TEST_CASE("inputs that end together share one failure") {
  Fixture f;
  f.create(f.call("fc-1"), {"a", "b"});
  REQUIRE(f.loop.run_task(f.queue->fail_all(
      f.function, model::failed(OutcomeKind::terminated, {.type = model::failure_type::app_stopped,
                                                          .message = "the app was stopped"}))));
  const auto log = f.read("fc-1", 0);
  REQUIRE(log.size() == 2);
  CHECK(log[0].failure == log[1].failure);
  CHECK(log[0].failure->message == "the app was stopped");
}
