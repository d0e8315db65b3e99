// SPDX-License-Identifier: Apache-2.0
// What becomes of a container, and of what it runs, in each state that something can meet it in.
#include "thaw/control/fleet.h"

#include <doctest/doctest.h>

#include <array>
#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::control;
using model::OutcomeKind;

namespace {

using Fixture = FleetHouse;

enum class State { ordered, starting, idle, frozen, working };
constexpr std::array all_states = {State::ordered, State::starting, State::idle, State::frozen,
                                   State::working};

std::string name_of(State state) {
  switch (state) {
    case State::ordered: return "ordered";
    case State::starting: return "starting";
    case State::idle: return "idle";
    case State::frozen: return "frozen";
    case State::working: return "working";
  }
  return "";
}

// Brings the first container there; the call "fc-1" waits for it, was answered by it, or is in it.
void bring(Fixture& f, State state) {
  f.worker.holds_launches = state == State::ordered;
  f.call("fc-1");
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 1);
  if (state == State::ordered || state == State::starting) {
    return;
  }
  f.polls(0);
  f.passes(1s);
  REQUIRE(f.taken.size() == 1);
  if (state == State::working) {
    return;
  }
  f.finishes(f.taken.at(0), 0);
  f.polls(0);
  f.passes(state == State::frozen ? Duration(5s) : Duration(500ms));
  REQUIRE(f.container(0).fake.is_frozen == (state == State::frozen));
}

// What the container's end means for the call: nothing (it had been answered), it is delivered
// again to another container, or it has ended like this.
enum class Call { answered, delivered_again, failed, timed_out, terminated, waits };

void check_call(Fixture& f, State state, Call expected) {
  const auto result = f.result_of("fc-1");
  CAPTURE(name_of(state));
  switch (expected) {
    case Call::answered:
      REQUIRE(result);
      CHECK(result->outcome == OutcomeKind::success);
      break;
    case Call::delivered_again:
      CHECK(!result);
      CHECK(f.worker.launched.size() == 2);
      break;
    case Call::waits:
      CHECK(!result);
      CHECK(f.worker.launched.size() == 1);
      break;
    case Call::failed:
      REQUIRE(result);
      CHECK(result->outcome == OutcomeKind::failure);
      break;
    case Call::timed_out:
      REQUIRE(result);
      CHECK(result->outcome == OutcomeKind::timeout);
      break;
    case Call::terminated:
      REQUIRE(result);
      CHECK(result->outcome == OutcomeKind::terminated);
      break;
  }
}

struct Row {
  State state;
  bool lives;  // a minute later
  Call call;
};

// In each state, the same event; a minute later the container is gone or not, and the call is as
// the row says.
void in_each_state(const std::function<void(Fixture&)>& event, const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    Fixture f;
    bring(f, row.state);
    event(f);
    f.passes(1min);
    CAPTURE(name_of(row.state));
    CHECK(f.lives(0) == row.lives);
    check_call(f, row.state, row.call);
  }
}

sandbox::ExitStatus exited(int code) {
  sandbox::ExitStatus status;
  status.code = code;
  return status;
}

sandbox::ExitStatus killed(bool as_a_whole, bool by_memory = false) {
  sandbox::ExitStatus status;
  status.code = 137;
  status.signal = SIGKILL;
  status.killed_as_a_whole = as_a_whole;
  status.out_of_memory = by_memory;
  return status;
}

}  // namespace

TEST_CASE(
    "a container that crashes costs the call that it ran, and is tried again while it starts") {
  in_each_state([](Fixture& f) { f.container(0).fake.end(exited(3)); },
                {{State::starting, false, Call::delivered_again},
                 {State::idle, false, Call::answered},
                 {State::frozen, false, Call::answered},
                 {State::working, false, Call::failed}});
}

TEST_CASE("a container that is killed from outside costs no call") {
  in_each_state([](Fixture& f) { f.container(0).fake.end(killed(true)); },
                {{State::starting, false, Call::delivered_again},
                 {State::idle, false, Call::answered},
                 {State::frozen, false, Call::answered},
                 {State::working, false, Call::delivered_again}});
}

TEST_CASE("a container that eats its memory costs the call that it ran") {
  in_each_state([](Fixture& f) { f.container(0).fake.end(killed(false, true)); },
                {{State::starting, false, Call::delivered_again},
                 {State::idle, false, Call::answered},
                 {State::working, false, Call::failed}});
}

TEST_CASE("a container that is stopped by request gives its call back") {
  const auto stop = [](Fixture& f) {
    REQUIRE(f.fleet->stop_container(f.worker.launched.at(0), Fleet::StopHow::now));
    f.worker.holds_launches = false;
    f.worker.changed.notify_all();
  };
  in_each_state(stop, {{State::ordered, false, Call::delivered_again},
                       {State::starting, false, Call::delivered_again},
                       {State::idle, false, Call::answered},
                       {State::frozen, false, Call::answered},
                       {State::working, false, Call::delivered_again}});
}

// Also one that never starts, and one that does not end by itself when its call has ended.
TEST_CASE("a replaced container ends, but not before the call that it runs") {
  const auto replace = [](Fixture& f) {
    f.publish();
    f.fleet->refresh(f.spec.id);
    f.worker.holds_launches = false;
    f.worker.changed.notify_all();
  };
  in_each_state(replace, {{State::ordered, false, Call::delivered_again},
                          {State::starting, false, Call::delivered_again},
                          {State::idle, false, Call::answered},
                          {State::frozen, false, Call::answered}});
  Fixture f;
  f.spec.timeout = 1h;
  f.publish();
  bring(f, State::working);
  replace(f);
  f.passes(10min);
  CHECK(f.lives(0));
  f.finishes(f.taken.at(0), 0);
  f.polls(0);
  f.passes(1s);
  CHECK(f.stops_told == 1);
  f.passes(1min);
  CHECK(!f.lives(0));
  check_call(f, State::working, Call::answered);
}

TEST_CASE("a container that is not ready in time is ended, and those who wait are told") {
  Fixture f;
  bring(f, State::starting);
  f.passes(10min - 5s);
  CHECK(f.lives(0));
  f.passes(5s);
  CHECK(!f.lives(0));
  check_call(f, State::starting, Call::timed_out);
  const auto result = f.result_of("fc-1");
  REQUIRE(result->failure);
  CHECK(result->failure->type == model::failure_type::start_failed);
  CHECK(result->failure->message.find("startup timeout") != std::string::npos);
}

TEST_CASE("who waits for a port is told how the start of its container failed") {
  Fixture f;
  std::optional<PortAnswer> answer;
  const auto asks = [](Fixture& at, std::optional<PortAnswer>& out) -> async::Task<void> {
    THAW_CO_TRY(out, co_await at.fleet->lease_port(at.spec.id, monotonic_now() + 1min));
    co_return ok();
  };
  f.tasks.start("a request at a port", asks(f, answer));
  f.passes(100ms);
  REQUIRE(f.worker.launched.size() == 1);
  const model::Outcome own{OutcomeKind::failure, {"its own words", "text/plain"}, nullptr};
  f.fleet->start_failed(f.worker.launched.at(0), own);
  f.container(0).fake.end(exited(1));
  f.passes(1s);
  REQUIRE(answer);
  REQUIRE(std::holds_alternative<model::Outcome>(*answer));
  CHECK(std::get<model::Outcome>(*answer).payload.bytes == "its own words");
}

TEST_CASE("a call that runs past its time limit ends, and its container with it") {
  for (const State state : {State::working}) {
    Fixture f;
    bring(f, state);
    f.passes(58s);
    CHECK(f.lives(0));
    check_call(f, state, Call::waits);
    f.passes(3s);
    CHECK(!f.lives(0));
    check_call(f, state, Call::timed_out);
  }
}

TEST_CASE("a call's own limits hold instead of its function's, and beside them") {
  Fixture f;
  f.call("fc-1", {"payload"}, {.run_for = 5s});
  f.passes(1s);
  f.polls(0);
  f.passes(4s);
  REQUIRE(f.taken.size() == 1);
  CHECK(!f.result_of("fc-1"));
  f.passes(2s);
  REQUIRE(f.result_of("fc-1"));
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::timeout);
  CHECK(f.result_of("fc-1")->failure->message.find("5 s") != std::string::npos);

  f.call("fc-2", {"payload"}, {.end_by = wall_now() + std::chrono::seconds(10)});
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 2);
  f.polls(1);
  f.passes(8s);
  REQUIRE(f.taken.size() == 2);
  CHECK(!f.result_of("fc-2"));
  f.passes(2s);
  REQUIRE(f.result_of("fc-2"));
  CHECK(f.result_of("fc-2")->outcome == OutcomeKind::timeout);
}

TEST_CASE("a call that waits for a container longer than it allows ends, and none is started") {
  Fixture f;
  f.worker.launch_error = Error::resource_exhausted("no more processes can be started");
  f.call("fc-1", {"payload"}, {.queue_until = wall_now() + std::chrono::seconds(1)});
  f.passes(1500ms);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::expired);
}

TEST_CASE("the end of an app ends its calls and its containers, in whatever state they are") {
  for (const State state : all_states) {
    Fixture f;
    bring(f, state);
    f.worker.holds_launches = false;
    f.worker.changed.notify_all();
    // Two that stop it at once: each finds all that the other has left.
    f.tasks.start("one stop", f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
    f.await(f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
    CAPTURE(name_of(state));
    CHECK(!f.lives(0));
    const bool was_answered = state == State::idle || state == State::frozen;
    check_call(f, state, was_answered ? Call::answered : Call::terminated);
  }
}

TEST_CASE("two stops of a function whose calls wait for no container end them once") {
  Fixture f;
  f.worker.launch_error = Error::resource_exhausted("no more processes can be started");
  f.call("fc-1");
  f.passes(300ms);
  REQUIRE(f.worker.launched.size() == 1);
  REQUIRE(f.fleet->containers().empty());
  // The first waits for the disk while the second has nothing left to do.
  f.time.work_time = [] { return Duration(50ms); };
  f.tasks.start("one stop", f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
  f.await(f.fleet->stop_functions({f.spec.id}, "the app was stopped"));
  f.passes(1s);
  const auto result = f.result_of("fc-1");
  REQUIRE(result);
  CHECK(result->outcome == OutcomeKind::terminated);
}

TEST_CASE("a server that stops ends containers in whatever state they are, and keeps the calls") {
  for (const State state : all_states) {
    Fixture f;
    bring(f, state);
    f.worker.holds_launches = false;
    f.worker.changed.notify_all();
    f.await(f.fleet->shut_down(f.time.now() + 5s));
    CAPTURE(name_of(state));
    CHECK(f.fleet->containers().empty());
    const bool was_answered = state == State::idle || state == State::frozen;
    check_call(f, state, was_answered ? Call::answered : Call::waits);
  }
}

TEST_CASE("a container whose program has ended is given nothing, though it is not gone yet") {
  Fixture f;
  bring(f, State::working);
  f.call("fc-2");
  // What its end means for its call is on the way to the disk.
  f.time.work_time = [] { return Duration(200ms); };
  f.container(0).fake.end(exited(3));
  f.passes(100ms);
  f.polls(0);
  f.passes(5s);
  CHECK(f.taken.size() == 1);
  CHECK(!f.lives(0));
  CHECK(f.result_of("fc-1")->outcome == OutcomeKind::failure);
  REQUIRE(f.worker.launched.size() > 1);
  f.polls(1);
  f.passes(5s);
  REQUIRE(f.taken.size() == 2);
  f.finishes(f.taken.back(), 1);
  CHECK(f.result_of("fc-2")->payload.bytes == "done");
}

TEST_CASE("the next try of an input has its own time in the container that failed it") {
  Fixture f;
  f.spec.retry.max_retries = 1;
  f.spec.retry.initial_delay = Duration(0);
  f.spec.scaling.max_containers = 1;
  f.publish();
  bring(f, State::working);
  f.polls(0);
  f.passes(100ms);
  f.time.work_time = [] { return Duration(50ms); };
  f.await(f.fleet->finish(f.worker.launched.at(0), f.taken.at(0).input,
                          {OutcomeKind::failure, {"it raised"}}));
  f.passes(3s);
  REQUIRE(f.taken.size() == 2);
  CHECK(f.taken.back().attempt == 2);
  CHECK(f.fleet->containers().at(0).inputs == 1);
  f.passes(70s);
  check_call(f, State::working, Call::timed_out);
}

TEST_CASE("inputs that a broken poll was to bring are the next poll's") {
  Fixture f;
  bring(f, State::idle);
  const auto asks = [](Fixture& at) -> async::Task<void> {
    const auto poll = co_await at.fleet->next_inputs(
        at.worker.launched.at(0), {.max = 1, .linger = {}, .hold_until = monotonic_now() + 20s});
    if (poll) {
      at.taken.insert(at.taken.end(), poll->inputs.begin(), poll->inputs.end());
    }
    co_return ok();
  };
  // Its answer is on the way to the disk when the connection goes.
  f.time.work_time = [] { return Duration(50ms); };
  f.await(f.tasks.stop());
  auto asking = f.tasks.start("a poll that breaks", asks(f));
  f.call("fc-2");
  for (int i = 0; i < 1000 && f.fleet->containers().at(0).inputs == 0; ++i) {
    f.passes(1ms);
  }
  REQUIRE(f.fleet->containers().at(0).inputs == 1);
  asking.cancel();
  f.passes(1s);
  REQUIRE(f.taken.size() == 1);
  f.polls(0);
  f.passes(1s);
  REQUIRE(f.taken.size() == 2);
  CHECK(f.taken.back().call == model::CallId("fc-2"));
  f.finishes(f.taken.back(), 0);
  CHECK(f.result_of("fc-2")->payload.bytes == "done");
}

TEST_CASE("inputs that a poll gives back are those of another poll, which waits already") {
  Fixture f;
  f.spec.scaling.max_concurrent_inputs = 2;
  f.publish();
  bring(f, State::working);
  f.polls(0);
  f.call("fc-2");
  f.passes(1s);
  REQUIRE(f.taken.size() == 2);
  const auto waits = [](Fixture& at) -> async::Task<void> {
    const auto poll = co_await at.fleet->next_inputs(
        at.worker.launched.at(0), {.max = 1, .linger = {}, .hold_until = Instant::max()});
    if (poll) {
      at.taken.insert(at.taken.end(), poll->inputs.begin(), poll->inputs.end());
    }
    co_return ok();
  };
  f.tasks.start("a poll that waits", waits(f));
  f.passes(100ms);
  f.fleet->take_back(f.worker.launched.at(0), {f.taken.back()});
  f.passes(100ms);
  REQUIRE(f.taken.size() == 3);
  CHECK(f.taken.back().input == f.taken.at(1).input);
  CHECK(f.taken.back().attempt == f.taken.at(1).attempt);
  f.finishes(f.taken.back(), 0);
  CHECK(f.result_of("fc-2")->payload.bytes == "done");
  // What has ended is nobody's to give back.
  f.fleet->take_back(f.worker.launched.at(0), {f.taken.back()});
  f.passes(100ms);
}

TEST_CASE("a program that never asks again does not keep what its poll was to bring") {
  Fixture f;
  f.spec.timeout = 20s;
  f.publish();
  bring(f, State::working);
  f.fleet->take_back(f.worker.launched.at(0), {f.taken.back()});
  f.passes(10s);
  CHECK(!f.result_of("fc-1"));
  f.passes(30s);
  check_call(f, State::working, Call::timed_out);
  CHECK(!f.lives(0));
}

TEST_CASE("a container with a door is not cut off while no connection of its is open") {
  for (const bool has_door : {true, false}) {
    CAPTURE(has_door);
    Fixture f;
    bring(f, State::working);
    f.container(0).now = {.wire = worker::Traffic::Wire::quiet};
    f.container(0).with_door = has_door;
    f.passes(30s);
    CHECK(f.result_of("fc-1").has_value() != has_door);
  }
}

TEST_CASE("a program for which nobody has named a folder is started in the root") {
  Fixture f;
  f.call("fc-1");
  f.passes(1s);
  REQUIRE(f.worker.plans.size() == 1);
  CHECK(f.worker.plans.at(0).cwd == "/");
}

TEST_CASE("of two polls of one container the other gets what comes when one has gone") {
  Fixture f;
  bring(f, State::working);
  f.finishes(f.taken.back(), 0);
  const auto waits = [](Fixture& at) -> async::Task<void> {
    const auto poll = co_await at.fleet->next_inputs(
        at.worker.launched.at(0), {.max = 1, .linger = {}, .hold_until = Instant::max()});
    if (poll) {
      at.taken.insert(at.taken.end(), poll->inputs.begin(), poll->inputs.end());
    }
    co_return ok();
  };
  f.tasks.start("a poll that waits", waits(f));
  async::TaskGroup::Handle gone = f.tasks.start("a poll that goes", waits(f));
  f.passes(100ms);
  gone.cancel();
  f.passes(100ms);
  const std::size_t before = f.taken.size();
  f.call("fc-9");
  f.passes(1s);
  REQUIRE(f.taken.size() == before + 1);
  CHECK(f.taken.back().call == model::CallId("fc-9"));
  f.finishes(f.taken.back(), 0);
}

TEST_CASE("a program gets large inputs whole; one whose bytes are gone ends without it") {
  FleetHouse f;
  const std::string large(400'000, 'i');
  f.call("fc-1", {large, "text/plain"});
  f.passes(1s);
  REQUIRE(f.worker.launched.size() == 1);
  f.polls(0);
  f.passes(100ms);
  REQUIRE(f.taken.size() == 1);
  CHECK(f.taken[0].payload.bytes == large);
  CHECK(!f.taken[0].payload.rest);
  f.finishes(f.taken[0], 0);
  f.call("fc-2", {std::string(400'000, 'j'), "text/plain"});
  std::filesystem::remove_all(f.folder / "blobs");
  f.call("fc-3", {"small", "text/plain"});
  f.polls(0);
  f.passes(1s);
  const auto result = f.result_of("fc-2");
  REQUIRE(result);
  CHECK(result->outcome == model::OutcomeKind::terminated);
  REQUIRE(result->failure);
  CHECK(result->failure->type == model::failure_type::input_damaged);
  REQUIRE(f.taken.size() == 2);
  CHECK(f.taken[1].payload.bytes == "small");
}
