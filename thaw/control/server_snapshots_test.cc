// SPDX-License-Identifier: Apache-2.0
//
// Memory snapshots of plain servers, in virtual time: when one is taken, what is tried of it, and
// what becomes of those that are no good. What the machine does is
// tests/e2e/push_snapshots_test.py's.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>

#include "thaw/codec/http_message.h"
#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::control;
using model::Level;
using Purpose = worker::LaunchPlan::Purpose;

namespace {

// A server that loads for a while when it boots, and is ready at once when it is restored.
struct SnapshotHouse : FleetHouse {
  explicit SnapshotHouse(FleetOptions options = small_options())
      : FleetHouse(Has::snapshots, options) {
    spec.push = model::PushContract{};
    spec.push->arguments = {"serve"};
    spec.snapshot_at = model::SnapshotAt::ready;
    publish();
    worker.at_launch = [this](worker::testing::FakeContainer& made,
                              const worker::LaunchPlan& plan) {
      Launched& one = launches.emplace_back();
      one.level = made.started_by;
      one.is_for_snapshot = plan.purpose == Purpose::snapshot;
      one.has_snapshot = !plan.restore.empty();
      if (!is_never_ready) {
        made.port->ready_after = made.started_by == Level::restored ? restored : booted;
      }
      made.port->at_question = [](auto& question) {
        question.answer = codec::HttpResponseMessage{200, {}, "out"};
      };
      made.fake.checkpoint_error = checkpoint_error;
      if (adjust) {
        adjust(made, one);
      }
    };
  }
  struct Launched {
    Level level = Level::booted;
    bool is_for_snapshot = false;
    bool has_snapshot = false;
  };

  // From now on none is taken in place of one that was given up.
  void snapshots_are_refused() { checkpoint_error = Error::failed_precondition("not now"); }

  static model::Payload request() {
    codec::HttpRequestMessage request;
    request.method = "POST";
    request.target = "/run";
    return {must(codec::write_http(request)), std::string(codec::http_content_type)};
  }
  // One request, answered; then there is time for a snapshot, and for all containers to go.
  Level serves_once(const std::string& version = {}) {
    const std::size_t before = launches.size();
    const std::string name = "fc-" + std::to_string(++calls);
    call(name, request(), {}, version);
    for (int i = 0; i < 500 && !result_of(name); ++i) {
      passes(50ms);
    }
    REQUIRE(result_of(name));
    CHECK(result_of(name)->outcome == model::OutcomeKind::success);
    const Level level = launches.at(before).level;
    goes_to_zero();
    return level;
  }
  void goes_to_zero() {
    passes(60s);
    REQUIRE(fleet->containers().empty());
  }
  std::string log() {
    std::string text;
    const auto body = [](FleetHouse& f, std::string& out) -> async::Task<void> {
      THAW_CO_TRY(const auto lines,
                  co_await f.logs->follow(f.spec.app.str(), 0, 1000, monotonic_now()));
      for (const logs::Line& line : lines) {
        out += line.text;
      }
      co_return ok();
    };
    await(body(*this, text));
    return text;
  }
  std::size_t told(const std::string& words) {
    const std::string text = log();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(words, at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  }
  std::size_t launches_for_snapshots() const {
    return static_cast<std::size_t>(std::count_if(launches.begin(), launches.end(),
                                                  [](const auto& l) { return l.is_for_snapshot; }));
  }

  Duration booted = 1s;
  Duration restored = 20ms;
  bool is_never_ready = false;
  std::optional<Error> checkpoint_error;
  std::function<void(worker::testing::FakeContainer&, const Launched&)> adjust;
  std::vector<Launched> launches;
  int calls = 0;
};

}  // namespace

TEST_CASE("a server that was ready once is restored from then on, after a trial") {
  SnapshotHouse f;
  CHECK(f.serves_once() == Level::booted);
  REQUIRE(f.launches.size() == 3);
  CHECK(f.launches[1].is_for_snapshot);
  CHECK(f.launches[1].level == Level::booted);
  CHECK(!f.launches[2].is_for_snapshot);
  CHECK(f.launches[2].level == Level::restored);
  CHECK(f.snapshots->size() == 1);
  CHECK(f.serves_once() == Level::restored);
  CHECK(f.serves_once() == Level::restored);
  CHECK(f.launches_for_snapshots() == 1);
  CHECK(f.told("no memory snapshot") == 0);
}

TEST_CASE("a server that did not ask for snapshots has none") {
  SnapshotHouse f;
  for (const auto at : {model::SnapshotAt::never, model::SnapshotAt::asked}) {
    f.spec.snapshot_at = at;
    f.publish();
    CHECK(f.serves_once() == Level::booted);
  }
  CHECK(f.launches.size() == 2);
  CHECK(f.snapshots->size() == 0);
}

TEST_CASE("a new version is not restored from what the old one had in memory") {
  SnapshotHouse f;
  f.serves_once();
  CHECK(f.serves_once() == Level::restored);
  f.publish();
  CHECK(f.serves_once() == Level::booted);
  CHECK(f.serves_once() == Level::restored);
  CHECK(f.snapshots->size() == 1);
}

TEST_CASE("versions that are called side by side have snapshots of their own, until they go") {
  SnapshotHouse f;
  f.serves_once();
  const std::string one = f.publish_beside();
  CHECK(f.serves_once() == Level::booted);
  CHECK(f.snapshots->size() == 2);
  CHECK(f.serves_once(one) == Level::restored);
  CHECK(f.serves_once() == Level::restored);
  CHECK(f.launches_for_snapshots() == 2);
  f.await(f.catalog->versions.erase(catalog::version_id({f.spec.id, one}).str()));
  f.goes_to_zero();
  f.goes_to_zero();
  CHECK(f.snapshots->size() == 1);
  CHECK(f.serves_once() == Level::restored);
}

TEST_CASE("a server that starts as fast by itself is told so once, and left alone") {
  SnapshotHouse f;
  SUBCASE("it is ready before anything could be gained") { f.booted = 10ms; }
  SUBCASE("its restores take as long") { f.restored = 990ms; }
  SUBCASE("its restores take longer than it does") {
    f.booted = 30ms;
    f.restored = 40ms;
  }
  for (int i = 0; i < 4; ++i) {
    CHECK(f.serves_once() == Level::booted);
  }
  CHECK(f.launches_for_snapshots() == 1);
  CHECK(f.told("no memory snapshot of f") == 1);
  CHECK(f.told("that is no gain") == 1);
  CHECK(f.snapshots->size() == 0);
}

TEST_CASE("a restore that is slow at one moment is tried again") {
  SnapshotHouse f;
  int trials = 0;
  f.adjust = [&trials](auto& made, const auto& launched) {
    if (launched.level == Level::restored && trials++ == 0) {
      made.port->ready_after = 2s;
    }
  };
  f.serves_once();
  CHECK(trials == 2);
  CHECK(f.serves_once() == Level::restored);
}

TEST_CASE("a program that cannot be written is told why, and starts without") {
  SnapshotHouse f;
  f.checkpoint_error = Error::failed_precondition("server has an io_uring open");
  for (int i = 0; i < 5; ++i) {
    CHECK(f.serves_once() == Level::booted);
  }
  CHECK(f.told("no memory snapshot of f") == 3);  // tries of one version
  CHECK(f.told("an io_uring open; it starts without one") == 3);
  CHECK(f.snapshots->size() == 0);
  CHECK(std::filesystem::is_empty(f.folder / "snapshots/staging"));
}

TEST_CASE("a snapshot whose trial fails is no snapshot") {
  SnapshotHouse f;
  std::string words;
  SUBCASE("it cannot be restored") {
    f.worker.restore_error = Error::failed_precondition("it listens at one address");
    words = "it listens at one address";
  }
  SUBCASE("it does not become ready") {
    f.adjust = [](auto& made, const auto& launched) {
      if (launched.level == Level::restored) {
        made.port->ready_after.reset();
      }
    };
    words = "was not ready in time";
  }
  SUBCASE("it says that it never will be") {
    f.adjust = [](auto& made, const auto& launched) {
      if (launched.level == Level::restored) {
        made.port->readiness = Error::failed_precondition("it says that it cannot start");
      }
    };
    words = "it says that it cannot start";
  }
  SUBCASE("it ends") {
    f.adjust = [](auto& made, const auto& launched) {
      if (launched.level == Level::restored) {
        made.port->ready_after.reset();
        made.fake.end({});
      }
    };
    words = "the container has ended";
  }
  CHECK(f.serves_once() == Level::booted);
  CHECK(f.told("no memory snapshot of f") == 1);
  CHECK(f.told(words) == 1);
  CHECK(f.snapshots->size() == 0);
  CHECK(std::filesystem::is_empty(f.folder / "snapshots/staging"));
  CHECK(f.serves_once() == Level::booted);
}

TEST_CASE("a server that ends before it is ready, or is not ready in time, is not written") {
  SnapshotHouse f;
  f.spec.startup_timeout = 5s;
  f.publish();
  std::string words;
  const auto spoil = [](auto how) {
    return [how](auto& made, const SnapshotHouse::Launched& launched) {
      if (launched.is_for_snapshot) {
        made.port->ready_after.reset();
        how(made);
      }
    };
  };
  SUBCASE("it ends") {
    f.adjust = spoil([](auto& made) { made.fake.end({}); });
    words = "its server ended before it was ready";
  }
  SUBCASE("it hangs") {
    f.adjust = spoil([](auto&) {});
    words = "was not ready within its startup timeout";
  }
  CHECK(f.serves_once() == Level::booted);
  CHECK(f.told("no memory snapshot of f: ") == 1);
  CHECK(f.told(words) == 1);
  CHECK(f.serves_once() == Level::booted);
}

TEST_CASE("a server that listens where only its own connections are is written without them") {
  SnapshotHouse f;
  worker::testing::FakeContainer* made_for_snapshot = nullptr;
  f.adjust = [&](auto& made, const auto& launched) {
    if (launched.is_for_snapshot) {
      made_for_snapshot = &made;
      made.now.connections = 1;
    }
  };
  f.call("fc-0", {"{}", "application/json"});
  for (int i = 0; i < 2000 && made_for_snapshot == nullptr; ++i) {
    f.passes(20ms);
  }
  REQUIRE(made_for_snapshot != nullptr);
  f.passes(2s);  // it is ready
  CHECK(made_for_snapshot->fake.checkpoints.empty());
  CHECK(made_for_snapshot->port->closings > 0);
  made_for_snapshot->now.connections = 0;
  f.goes_to_zero();
  CHECK(f.snapshots->size() == 1);
}

TEST_CASE("a restored server is told so before anybody asks it, where it wants to be") {
  SnapshotHouse f;
  f.spec.push->restored_path = "/renew";
  f.publish();
  std::vector<std::string> asked;
  int status = 200;
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored) {
      made.port->at_question = [&](worker::testing::FakeServerPort::Question& question) {
        asked.push_back(question.request.method + " " + question.request.target);
        question.answer =
            codec::HttpResponseMessage{question.request.target == "/renew" ? status : 200, {}, ""};
      };
    }
  };
  f.serves_once();
  CHECK(asked == std::vector<std::string>{"POST /renew"});
  SUBCASE("and answers") {
    CHECK(f.serves_once() == Level::restored);
    CHECK(asked == std::vector<std::string>{"POST /renew", "POST /renew", "POST /run"});
  }
  SUBCASE("and fails: it is started anew, and its callers see nothing of it") {
    status = 500;
    const std::size_t before = f.launches.size();
    CHECK(f.serves_once() == Level::restored);
    CHECK(f.launches.at(before + 1).level == Level::booted);
    CHECK(f.told("POST /renew") == 1 + 1);  // and once by the next trial
    CHECK(std::count(asked.begin(), asked.end(), "POST /run") == 0);
  }
}

TEST_CASE("a restored server that hangs or dies before it is ready is started anew at once") {
  SnapshotHouse f;
  f.serves_once();
  bool is_spoilt = true;
  bool dies = false;
  SUBCASE("hangs, which a busy machine may do to it") {}
  SUBCASE("dies") { dies = true; }
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored && is_spoilt) {
      is_spoilt = false;
      made.port->ready_after.reset();
      if (dies) {
        made.fake.end({});
      }
    }
  };
  const std::size_t before = f.launches.size();
  const Instant begun = f.time.now();
  CHECK(f.serves_once() == Level::restored);
  REQUIRE(f.launches.size() > before + 1);
  CHECK(f.launches[before + 1].level == (dies ? Level::booted : Level::restored));
  CHECK(f.launches[before + 1].has_snapshot == !dies);
  CHECK(f.time.now() - begun < 120s);  // and not after its startup timeout of 10 minutes
}

TEST_CASE("a restored server that dies before its first answer counts against its snapshot") {
  SnapshotHouse f;
  f.spec.retry.max_retries = 0;
  f.publish();
  f.serves_once();
  REQUIRE(f.snapshots->size() == 1);
  f.adjust = [](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored) {
      made.port->at_question = [&made](auto& question) {
        question.answer = Error::unavailable("the server closed the connection");
        sandbox::ExitStatus trap;
        trap.signal = SIGTRAP;
        made.fake.end(trap);
      };
    }
  };
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(f.snapshots->size() == 1);
    f.call("fd-" + std::to_string(i), {"{}", "application/json"});
    f.goes_to_zero();
    CHECK(f.launches.back().level == Level::restored);
  }
  CHECK(f.snapshots->size() == 0);
  CHECK(f.told("before its first answer") == 3);
  CHECK(f.serves_once() == Level::booted);
}

TEST_CASE("what is not a snapshot's fault does not give it up, however often") {
  using Fallback = worker::Fallback;
  struct Row {
    const char* what;
    Fallback::Tried tried = Fallback::Tried::no;         // of each restore; no: it works
    std::function<void(sandbox::ExitStatus&)> end = {};  // of its container, before it is ready
    bool is_kept = true;
  };
  for (const Row& row : {
           Row{"the machine could not restore it", Fallback::Tried::in_vain},
           {"it could not be restored", Fallback::Tried::failed, {}, false},
           {"somebody killed it", Fallback::Tried::no,
            [](auto& status) {
              status.signal = SIGKILL;
              status.killed_as_a_whole = true;
            }},
           {"it ended with the spawner", Fallback::Tried::no,
            [](auto& status) { status.ended_with_spawner = true; }},
           {"it ate its memory", Fallback::Tried::no,
            [](auto& status) {
              status.signal = SIGKILL;
              status.killed_as_a_whole = status.out_of_memory = true;
            },
            false},
           {"its program crashed", Fallback::Tried::no,
            [](auto& status) { status.signal = SIGSEGV; }, false},
       }) {
    CAPTURE(row.what);
    SnapshotHouse f;
    f.serves_once();
    REQUIRE(f.snapshots->size() == 1);
    f.snapshots_are_refused();
    if (row.tried != Fallback::Tried::no) {
      f.worker.restore_error = Error::unavailable("no");
      f.worker.restore_tried = row.tried;
    }
    for (int i = 0; i < 4; ++i) {
      bool is_next = true;  // the start after it works
      f.adjust = [&](auto& made, const auto& launched) {
        if (row.end && is_next && launched.level == Level::restored) {
          is_next = false;
          sandbox::ExitStatus status;
          row.end(status);
          made.fake.end(status);
        }
      };
      f.serves_once();
    }
    CHECK((f.snapshots->size() == 1) == row.is_kept);
  }
}

TEST_CASE("a restore that the machine cannot do now is not tried at each start") {
  SnapshotHouse f;
  f.serves_once();
  f.snapshots_are_refused();
  f.worker.restore_error = Error::unavailable("no");
  f.worker.restore_tried = worker::Fallback::Tried::in_vain;
  const std::size_t before = f.worker.plans.size();
  for (int i = 0; i < 20; ++i) {
    f.serves_once();
  }
  const auto tries = std::count_if(f.worker.plans.begin() + static_cast<std::ptrdiff_t>(before),
                                   f.worker.plans.end(), [](const worker::LaunchPlan& plan) {
                                     return std::find(plan.levels.begin(), plan.levels.end(),
                                                      Level::restored) != plan.levels.end();
                                   });
  CHECK(tries > 1);
  CHECK(tries < 20);
  f.worker.restore_error.reset();
  f.passes(2h);
  CHECK(f.serves_once() == Level::restored);  // its snapshot was kept
}

TEST_CASE("a restored server that has answered owes its later end to nobody but itself") {
  SnapshotHouse f;
  f.serves_once();
  for (int i = 0; i < 4; ++i) {
    f.call("fe-" + std::to_string(i), {"{}", "application/json"});
    f.passes(1s);
    sandbox::ExitStatus status;
    status.code = 3;
    f.worker.running.back()->fake.end(status);
    f.goes_to_zero();
    CHECK(f.launches.back().level == Level::restored);
  }
  CHECK(f.snapshots->size() == 1);
  CHECK(f.told("before its first answer") == 0);
}

TEST_CASE("with a function that goes while its snapshot is tried nothing is kept") {
  SnapshotHouse f;
  bool is_trial = false;
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored) {
      is_trial = true;
      made.port->ready_after.reset();
    }
  };
  f.call("fc-0", {"{}", "application/json"});
  for (int i = 0; i < 2000 && !is_trial; ++i) {
    f.passes(20ms);
  }
  REQUIRE(is_trial);
  f.await(f.fleet->stop_functions({f.spec.id}, "it was removed"));
  f.passes(5s);
  CHECK(f.snapshots->size() == 0);
  CHECK(f.fleet->containers().empty());
}

TEST_CASE("a restored server that is late again and again loses its snapshot") {
  SnapshotHouse f;
  f.serves_once();
  f.adjust = [](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored) {
      made.port->ready_after.reset();
    }
  };
  const std::size_t before = f.launches.size();
  f.call("fl-0", {"{}", "application/json"});
  f.passes(120s);
  CHECK(f.result_of("fl-0").has_value());
  f.adjust = nullptr;
  REQUIRE(f.launches.size() > before + 3);
  CHECK(f.launches[before].level == Level::restored);
  CHECK(f.launches[before + 2].level == Level::restored);
  CHECK(f.launches[before + 3].level == Level::booted);
}

TEST_CASE("a restored server that never answers is no good, however its container ends") {
  SnapshotHouse f;
  f.spec.timeout = 5s;
  f.spec.retry.max_retries = 0;
  bool by_passages = false;
  bool by_health = false;
  SUBCASE("inputs run past their time") {}
  SUBCASE("passages run past their time") { by_passages = true; }
  SUBCASE("its health is not well") {
    by_health = true;
    f.spec.push->health_path = "/health";
    f.spec.scaling.scaledown_window = 10min;
    f.spec.scaling.freezing = model::Scaling::Freezing::never;  // or it is asked nothing
  }
  f.publish();
  f.call("fa-0", {"{}", "application/json"});
  f.passes(30s);
  if (by_health) {
    f.worker.running.front()->fake.end({});
  }
  f.goes_to_zero();
  REQUIRE(f.snapshots->size() == 1);
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.level == Level::restored) {
      made.port->at_question = nullptr;
      if (by_health) {
        made.port->health = Error::unavailable("GET /health was not answered");
      }
    }
  };
  const auto passage = [](SnapshotHouse& at) -> async::Task<void> {
    THAW_CO_TRY(const PortAnswer got,
                co_await at.fleet->lease_port(at.spec.id, monotonic_now() + 1min));
    at.fleet->return_port(std::get<PortLease>(got), at.spec.push->health_path.empty()
                                                        ? PortUse::timed_out
                                                        : PortUse::broken_off);
    co_return ok();
  };
  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(f.snapshots->size() == 1);
    if (by_passages || by_health) {
      f.await(passage(f));
    } else {
      f.call("fb-" + std::to_string(i), {"{}", "application/json"});
    }
    f.goes_to_zero();
    CHECK(f.launches.back().level == Level::restored);
  }
  CHECK(f.snapshots->size() == 0);
}

TEST_CASE("a version that goes before its snapshot is tried is not run again") {
  SnapshotHouse f;
  const std::string old = f.spec.version;
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.is_for_snapshot && f.spec.version == old && made.port) {
      f.tasks.start("a push", [](SnapshotHouse& at) -> async::Task<void> {
        THAW_CO_TRY_VOID(co_await async::sleep_for(1100ms));
        catalog::Function record = *at.catalog->functions.find(at.spec.id.str());
        record.versions.clear();
        at.spec.version = record.live_version = "newer";
        record.versions[at.spec.version] = std::make_shared<model::FunctionSpec>(at.spec);
        co_return co_await at.catalog->functions.put(std::move(record));
      }(f));
    }
  };
  f.call("fa-0", {"{}", "application/json"});
  f.goes_to_zero();
  CHECK(f.launches_for_snapshots() == 1);
  CHECK(std::count_if(f.launches.begin(), f.launches.end(),
                      [](const auto& l) { return l.level == Level::restored; }) == 0);
}

TEST_CASE("settling and being written are no part of a start's time") {
  SnapshotHouse f;
  f.spec.startup_timeout = 3s;
  f.publish();
  f.adjust = [](auto& made, const SnapshotHouse::Launched& launched) {
    if (launched.is_for_snapshot) {
      made.now.connections = 1;  // of its own, to outside: it is waited for a while
    }
  };
  CHECK(f.serves_once() == Level::booted);
  CHECK(f.snapshots->size() == 1);
  CHECK(f.told("startup timeout") == 0);
}

namespace {

FleetOptions options_for(std::size_t most) {
  FleetOptions options = small_options();
  options.max_containers = most;
  return options;
}

}  // namespace

TEST_CASE("a container in the background has no place that others need") {
  SnapshotHouse f(options_for(1));
  bool is_settling = false;
  f.adjust = [&](auto& made, const SnapshotHouse::Launched& launched) {
    is_settling = launched.is_for_snapshot;
    made.now.connections = launched.is_for_snapshot ? 1 : 0;
  };
  const auto waits_for = [&f](const std::function<bool()>& what) {
    for (int i = 0; i < 6000 && !what(); ++i) {
      f.passes(20ms);
      CHECK(f.fleet->containers().size() <= 1);
    }
    REQUIRE(what());
  };
  f.call("fc-a", f.request());
  waits_for([&] { return f.result_of("fc-a").has_value(); });
  CHECK(f.fleet->containers().size() == 1);  // idle: who has called may call again
  CHECK(f.launches_for_snapshots() == 0);
  waits_for([&] { return is_settling; });
  f.passes(1500ms);
  f.call("fc-b", f.request());
  const Instant asked = f.time.now();
  waits_for([&] { return f.result_of("fc-b").has_value(); });
  CHECK(f.time.now() - asked < 3s);  // it had not to wait for the snapshot
  CHECK(f.snapshots->size() == 0);
  // That was no refusal: it is taken when there is a place again.
  waits_for([&] { return f.snapshots->size() == 1; });
  CHECK(f.told("no memory snapshot") == 0);
}
