// SPDX-License-Identifier: Apache-2.0
//
// Containers that stand by, in virtual time: who has one, what a call gets of it, what ends it.
// What the machine does is tests/e2e/standby_test.py's.
#include <algorithm>
#include <csignal>
#include <functional>

#include "thaw/codec/http_message.h"
#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::control;
using model::Level;

namespace {

constexpr std::uint64_t gb = std::uint64_t{1} << 30;

FleetOptions many_places() {
  FleetOptions options = small_options();
  options.max_containers = 40;
  options.standby.unused = 30min;
  return options;
}

// A server that loads for a second and is restored in 20 ms, on a machine that has memory.
struct StandbyHouse : FleetHouse {
  explicit StandbyHouse(FleetOptions options = many_places())
      : FleetHouse(Has::snapshots, options) {
    worker.has_memory = {8 * gb, 6 * gb, 0};
    spec.push = model::PushContract{};
    spec.push->arguments = {"serve"};
    spec.push->restored_path = "/restored";
    spec.snapshot_at = model::SnapshotAt::ready;
    publish();
    worker.at_launch = [this](worker::testing::FakeContainer& made,
                              const worker::LaunchPlan& plan) {
      levels.push_back(plan.levels);
      made.fake.memory = bytes;
      if (made.port) {
        made.port->ready_after = made.started_by == Level::restored ? 20ms : Duration(1s);
        made.port->at_question = [this](auto& question) {
          told_of_restores += question.request.target == "/restored" ? 1 : 0;
          question.answer = codec::HttpResponseMessage{200, {}, "out"};
        };
      }
      if (adjust) {
        adjust(made);
      }
    };
  }

  // Its program pulls; it was called, and has a snapshot since.
  void is_known_as_one_that_pulls() {
    runtime.has_snapshot_points = true;
    spec.push.reset();
    spec.snapshot_at = model::SnapshotAt::asked;
    publish();
    adjust = [](auto& made) { made.hears_restores = true; };
    call("fc-1");
    passes(1s);
    polls(0);
    passes(1s);
    REQUIRE(taken.size() == 1);
    finishes(taken[0], 0);
    polls(0);
    passes(1s);
    fleet->reached_snapshot_point(worker.launched.at(1));
    container(1).now = {0, 0, worker::Traffic::Wire::quiet};
    passes(5s);
  }

  void asks(const std::string& name, const std::string& version = {}) {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = "/run";
    call(name, {must(codec::write_http(request)), std::string(codec::http_content_type)}, {},
         version);
  }
  // Answered, by containers that it found so, and were started by what.
  Level served_by(const std::string& name, const std::string& version = {}) {
    const auto before = fleet->counters().answers;
    asks(name, version);
    for (int i = 0; i < 500 && !result_of(name); ++i) {
      passes(20ms);
    }
    REQUIRE(result_of(name));
    CHECK(result_of(name)->outcome == model::OutcomeKind::success);
    for (const auto& [level, count] : fleet->counters().answers) {
      const auto then = before.find(level);
      if (then == before.end() || then->second != count) {
        return level;
      }
    }
    return Level::warm;
  }
  std::vector<ContainerView> standing() const {
    std::vector<ContainerView> views = fleet->containers();
    std::erase_if(views, [](const auto& view) { return view.status != Status::standby; });
    return views;
  }
  // Called once, and time enough for a snapshot and for what serves to go.
  void is_known() {
    served_by("fc-first");
    passes(60s);
  }
  bool is_frozen(std::size_t which) { return container(which).fake.is_frozen; }
  std::size_t launched() const { return worker.plans.size(); }

  std::uint64_t bytes = 8u << 20;
  std::function<void(worker::testing::FakeContainer&)> adjust;
  std::vector<std::vector<Level>> levels;  // that each start tried
  int told_of_restores = 0;
};

sandbox::ExitStatus killed_from_outside() {
  sandbox::ExitStatus status;
  status.code = 137;
  status.signal = SIGKILL;
  status.killed_as_a_whole = true;
  return status;
}

}  // namespace

TEST_CASE("what was called stands by, frozen, when its containers have gone") {
  StandbyHouse f;
  f.is_known();
  REQUIRE(f.standing().size() == 1);
  CHECK(f.fleet->containers().size() == 1);
  CHECK(f.fleet->running_count(f.spec.id) == 0);  // it is at zero
  CHECK(f.fleet->containers()[0].level == Level::restored);
  CHECK(f.levels.back() == std::vector<Level>{Level::restored});  // it never boots
  CHECK(f.is_frozen(f.launched() - 1));
  CHECK(f.told_of_restores == 2);  // in the trial, and before it was frozen
  CHECK(f.fleet->standby_counters().made == 1);
  CHECK(f.fleet->finished_starts().size() == 1);
}

TEST_CASE("a call from zero thaws one and starts nothing, and then another one stands by") {
  StandbyHouse f;
  f.is_known();
  const std::size_t before = f.launched();
  CHECK(f.served_by("fc-2") == Level::frozen);
  CHECK(f.launched() == before);
  CHECK(!f.is_frozen(before - 1));
  CHECK(f.told_of_restores == 2);  // it is not restored anew
  CHECK(f.fleet->standby_counters().taken == 1);
  CHECK(f.fleet->running_count(f.spec.id) == 1);
  const ContainerView had = f.fleet->containers()[0];
  CHECK(had.level == Level::frozen);
  CHECK(had.moments.ready - had.moments.demanded < 1s);  // what its call has waited for
  f.passes(5s);
  CHECK(f.launched() == before + 1);
  CHECK(f.standing().size() == 1);
  f.passes(60s);
  CHECK(f.fleet->containers().size() == 1);  // the one that served has ended with its window
  CHECK(f.served_by("fc-3") == Level::frozen);
}

TEST_CASE("a passage gets one too") {
  StandbyHouse f;
  f.is_known();
  std::optional<PortLease> lease;
  const auto passes_by = [](StandbyHouse& at, std::optional<PortLease>& out) -> async::Task<void> {
    auto answer = co_await at.fleet->lease_port(at.spec.id, monotonic_now() + 10s);
    if (answer && std::holds_alternative<PortLease>(*answer)) {
      out = std::get<PortLease>(*answer);
    }
    co_return ok();
  };
  const std::size_t before = f.launched();
  f.await(passes_by(f, lease));
  REQUIRE(lease);
  CHECK(lease->level == Level::frozen);
  CHECK(lease->container == f.worker.launched.back());
  CHECK(f.launched() == before);
  CHECK(!f.is_frozen(before - 1));
  f.fleet->return_port(*lease);
}

TEST_CASE("a program that pulls stands by with its poll") {
  StandbyHouse f;
  f.is_known_as_one_that_pulls();
  REQUIRE(f.snapshots->size() == 1);
  REQUIRE(f.launched() == 3);
  CHECK(f.levels.back() == std::vector<Level>{Level::restored});
  f.polls(2);
  f.passes(25s);  // longer than its poll is held
  REQUIRE(f.standing().size() == 1);
  CHECK(f.is_frozen(2));
  f.container(0).fake.end({});
  f.passes(10s);
  CHECK(f.fleet->running_count(f.spec.id) == 0);
  f.call("fc-2");
  f.passes(1s);
  REQUIRE(f.taken.size() == 2);
  CHECK(!f.is_frozen(2));
  f.finishes(f.taken[1], 2);
  CHECK(f.fleet->counters().answers.at(Level::frozen) == 1);
}

TEST_CASE("what ends one that nobody has had, and what it leaves") {
  struct Row {
    const char* what;
    std::function<void(StandbyHouse&)> event;
    Duration within;
    bool comes_again;  // another one stands by a while later
  };
  for (const Row& row : {
           Row{"it was not called for long", [](StandbyHouse& f) { f.passes(30min); }, 10s, false},
           {"memory is wanted",
            [](StandbyHouse& f) { f.worker.has_memory.available_bytes = gb / 2; }, 1s, false},
           {"another version is live",
            [](StandbyHouse& f) {
              f.publish();
              f.fleet->refresh(f.spec.id);
            },
            6s, false},
           {"its app is stopped",
            [](StandbyHouse& f) { f.await(f.fleet->stop_functions({f.spec.id}, "stopped")); }, 1s,
            false},
           {"its environment is another one",
            [](StandbyHouse& f) { f.images.env = {"COLOUR=blue"}; }, 20s, false},
           {"its snapshot is gone",
            [](StandbyHouse& f) {
              (void)f.snapshots->retire_if([](const auto&) { return true; }, "dropped");
            },
            6s, false},
           {"somebody kills it",
            [](StandbyHouse& f) { f.container(f.launched() - 1).fake.end(killed_from_outside()); },
            1s, true},
           {"the process that starts containers ends",
            [](StandbyHouse& f) {
              sandbox::ExitStatus status;
              status.ended_with_spawner = true;
              f.container(f.launched() - 1).fake.end(status);
            },
            1s, true},
           {"somebody stops it",
            [](StandbyHouse& f) {
              REQUIRE(f.fleet->stop_container(f.worker.launched.back(), Fleet::StopHow::now));
            },
            6s, true},
       }) {
    CAPTURE(row.what);
    StandbyHouse f;
    f.is_known();
    REQUIRE(f.standing().size() == 1);
    const std::string had = f.worker.launched.back().str();
    row.event(f);
    f.passes(row.within);
    for (const ContainerView& view : f.fleet->containers()) {
      CHECK(view.id.str() != had);
    }
    f.passes(30s);
    CHECK(f.standing().size() == (row.comes_again ? 1 : 0));
  }
}

TEST_CASE("one that is killed, or cannot be restored now, says nothing of its snapshot") {
  StandbyHouse f;
  f.is_known();
  for (int i = 0; i < 5; ++i) {
    REQUIRE(f.standing().size() == 1);
    f.container(f.launched() - 1).fake.end(killed_from_outside());
    f.passes(1min);
  }
  CHECK(f.snapshots->size() == 1);
  f.worker.restore_error = Error::unavailable("there is no memory");
  f.container(f.launched() - 1).fake.end(killed_from_outside());
  const std::size_t before = f.worker.launched.size();
  f.passes(10min);
  CHECK(f.snapshots->size() == 1);
  CHECK(f.worker.launched.size() - before >= 3);
  CHECK(f.worker.launched.size() - before <= 12);  // tried less and less often
  f.worker.restore_error.reset();
  f.passes(10min);
  CHECK(f.served_by("fc-2") == Level::frozen);
  f.worker.restore_error = Error::failed_precondition("it does not restore");
  f.passes(1min);
  CHECK(f.snapshots->size() == 0);
}

// By cgroups v1 the end of what is frozen comes with its thaw.
TEST_CASE("one that is killed and dies only when it is thawed is replaced, and had by no call") {
  StandbyHouse f;
  f.is_known();
  REQUIRE(f.standing().size() == 1);
  const std::string had = f.worker.launched.back().str();
  f.container(f.launched() - 1).fake.ended = killed_from_outside();  // nobody is told
  SUBCASE("nobody calls") {}
  SUBCASE("a call comes at once") { CHECK(f.served_by("fc-2") == Level::restored); }
  f.passes(1s);
  for (const ContainerView& view : f.fleet->containers()) {
    CHECK(view.id.str() != had);
  }
  f.passes(2min);
  CHECK(f.standing().size() == 1);
  CHECK(f.fleet->containers().size() == 1);
  CHECK(f.snapshots->size() == 1);
  CHECK(f.fleet->standby_counters().failed == 1);
  CHECK(f.served_by("fc-3") == Level::frozen);
}

TEST_CASE("one that dies by itself before it is ready gives its snapshot up") {
  StandbyHouse f;
  f.is_known();
  REQUIRE(f.standing().size() == 1);
  f.adjust = [](auto& made) {
    if (made.started_by == Level::restored) {
      sandbox::ExitStatus status;
      status.code = 139;
      status.signal = SIGSEGV;
      made.fake.end(status);
    }
  };
  f.container(f.launched() - 1).fake.end(killed_from_outside());
  f.passes(10s);
  CHECK(f.snapshots->size() == 0);
  CHECK(f.standing().empty());
}

TEST_CASE("one that does not come to rest, or holds much, does not stand by") {
  StandbyHouse f;
  SUBCASE("it keeps a connection") {
    f.adjust = [](auto& made) {
      if (made.started_by == Level::restored) {
        made.now.connections = 1;
      }
    };
    f.is_known();
    CHECK(f.fleet->standby_counters().made == 0);
  }
  SUBCASE("it holds more than the owner allows") {
    f.bytes = 65u << 20;
    f.is_known();
    CHECK(f.fleet->standby_counters().made == 1);
  }
  CHECK(f.standing().empty());
  const std::size_t before = f.launched();
  f.passes(20min);
  CHECK(f.launched() == before);
  CHECK(f.fleet->containers().empty());
  CHECK(f.served_by("fc-2") == Level::restored);
}

TEST_CASE("nobody stands by where it is not wanted") {
  FleetOptions options = many_places();
  bool knows_memory = true;
  SUBCASE("the owner switched it off") { options.standby.unused = Duration::zero(); }
  SUBCASE("nothing is frozen on this machine") { options.freezer.use = FreezerOptions::Use::off; }
  SUBCASE("the machine has few places") { options.max_containers = 3; }
  SUBCASE("nothing is known of its memory") { knows_memory = false; }
  StandbyHouse f(options);
  SUBCASE("a function works between its calls") {
    f.spec.scaling.freezing = model::Scaling::Freezing::never;
    f.publish();
  }
  SUBCASE("a function has no snapshots") {
    f.spec.snapshot_at = model::SnapshotAt::never;
    f.publish();
  }
  if (!knows_memory) {
    f.worker.has_memory = {};
  }
  f.is_known();
  f.passes(10min);
  CHECK(f.fleet->containers().empty());
  CHECK(f.fleet->standby_counters().made == 0);
}

TEST_CASE("a function that may have one container has no other beside it") {
  StandbyHouse f;
  f.spec.scaling.max_containers = 1;
  f.publish();
  f.served_by("fc-1");
  f.passes(10s);
  CHECK(f.fleet->running_count(f.spec.id) == 1);
  CHECK(f.standing().empty());
  f.passes(60s);
  REQUIRE(f.standing().size() == 1);
  CHECK(f.served_by("fc-2") == Level::frozen);
  f.passes(10s);
  CHECK(f.fleet->containers().size() == 1);
}

TEST_CASE("calls of another function have its place") {
  FleetOptions options = many_places();
  options.max_containers = 4;
  StandbyHouse f(options);
  f.is_known();
  REQUIRE(f.standing().size() == 1);
  f.adjust = [](auto& made) { made.port->at_question = nullptr; };  // they take their time
  f.spec.id = model::FunctionId("fu-2");
  f.spec.snapshot_at = model::SnapshotAt::never;
  f.publish();
  for (int i = 0; i < 4; ++i) {
    f.asks("fc-other-" + std::to_string(i));
  }
  f.passes(10s);
  CHECK(f.standing().empty());
  CHECK(f.fleet->running_count(f.spec.id) == 3);  // one function has seven eighths at most
}

TEST_CASE("a version that is kept has its own") {
  StandbyHouse f;
  f.served_by("fc-1");
  f.passes(10s);
  const std::string kept = f.publish_beside();
  f.served_by("fc-2");
  f.served_by("fc-3", kept);
  f.passes(60s);
  REQUIRE(f.standing().size() == 2);
  CHECK(f.served_by("fc-4", kept) == Level::frozen);
  CHECK(f.result_of("fc-4")->version == kept);
  CHECK(f.served_by("fc-5") == Level::frozen);
  CHECK(f.result_of("fc-5")->version == f.spec.version);
}

TEST_CASE("one that never becomes ready is not tried again and again") {
  StandbyHouse f;
  SUBCASE("a server") {
    f.is_known();
    REQUIRE(f.standing().size() == 1);
    f.adjust = [](auto& made) {
      if (made.started_by == Level::restored) {
        made.port->ready_after = 10h;
      }
    };
    const std::size_t before = f.launched();
    f.container(before - 1).fake.end(killed_from_outside());
    f.passes(20min);
    CHECK(f.launched() > before);
    CHECK(f.launched() <= before + 5);  // until its snapshot is given up, and less and less often
    CHECK(f.fleet->standby_counters().made == 1);
  }
  SUBCASE("a program that pulls") {
    f.is_known_as_one_that_pulls();
    REQUIRE(f.launched() == 3);
    CHECK(f.lives(2));
    f.passes(20s);  // it never asks for anything
    CHECK(!f.lives(2));
    f.passes(20min);
    CHECK(f.launched() == 3);
    CHECK(f.fleet->standby_counters().made == 0);
  }
  CHECK(f.standing().empty());
}

TEST_CASE("who stands by follows what is changed of a version while it is called") {
  StandbyHouse f;
  f.is_known();
  REQUIRE(f.standing().size() == 1);
  const auto change = [&f](int least, int most) {
    catalog::Function record = *f.catalog->functions.find(f.spec.id.str());
    auto spec = std::make_shared<model::FunctionSpec>(*record.live());
    spec->scaling.min_containers = least;
    spec->scaling.max_containers = most;
    record.versions[spec->version] = spec;
    f.await(f.catalog->functions.put(std::move(record)));
    f.fleet->refresh(f.spec.id);
  };
  const std::size_t before = f.launched();
  change(1, 0);  // one is kept warm, so that none has to stand by
  f.passes(2min);
  CHECK(f.standing().empty());
  CHECK(f.fleet->running_count(f.spec.id) == 1);
  CHECK(f.launched() <= before + 1);
  change(0, 0);
  f.passes(2min);
  CHECK(f.fleet->running_count(f.spec.id) == 0);
  CHECK(f.standing().size() == 1);
  change(0, 1);
  f.passes(10s);
  CHECK(f.standing().size() == 1);
  const std::size_t then = f.launched();
  CHECK(f.served_by("fc-2") == Level::frozen);
  f.passes(10s);
  CHECK(f.fleet->containers().size() == 1);  // it may have one, and none stands by beside that
  CHECK(f.launched() == then);
}
