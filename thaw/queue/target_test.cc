// SPDX-License-Identifier: Apache-2.0
// Calls that are pinned to a version, beside those that follow the live one.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>

#include "thaw/queue/queue_fixture_test.h"

using namespace thaw;
using namespace thaw::queue;
using model::Durability;
using model::OutcomeKind;

namespace {

struct Versions : Fixture {
  using Fixture::Fixture;
  const model::Target follows{function};
  const model::Target one{function, "de-1"};
  const model::Target two{function, "de-2"};

  model::NewCall pinned(const std::string& text, const std::string& version,
                        Durability durability = Durability::memory) const {
    model::NewCall made = call(text, durability);
    made.version = version;
    return made;
  }
  std::string takes(const model::Target& target, const std::string& by) {
    return payloads(queue->lease(target, container(by), 10, {"de-ran"}));
  }
};

}  // namespace

TEST_CASE("a container of one version is given no input that is pinned to another") {
  Versions f;
  f.create(f.call("fc-1"), {"a", "b"});
  f.create(f.pinned("fc-2", "de-1"), {"c"});
  f.create(f.pinned("fc-3", "de-2"), {"d"});
  CHECK(f.queue->demand(f.one).ready == 1);
  CHECK(f.takes(f.one, "ta-1") == "c");
  CHECK(f.takes(f.one, "ta-1").empty());
  CHECK(f.takes(f.follows, "ta-2") == "ab");
  CHECK(f.queue->demand(f.follows).leased == 2);
  CHECK(f.queue->demand(f.one).leased == 1);
  CHECK(f.queue->demand(f.two).leased == 0);
  CHECK(f.queue->demand(f.two).unfinished == 1);
}

TEST_CASE("a pinned call is pinned after a restart too, and its end tells who served it") {
  Versions f;
  f.create(f.pinned("fc-1", "de-1", Durability::durable), {"a"});
  f.create(f.call("fc-2", Durability::durable), {"b"});
  f.reopen();
  auto waiting = f.queue->targets_with_demand();
  std::sort(waiting.begin(), waiting.end());
  CHECK(waiting == std::vector<model::Target>{f.follows, f.one});
  const auto leases = f.queue->lease(f.one, f.container("ta-1"), 10, {"de-1"});
  REQUIRE(payloads(leases) == "a");
  f.complete(leases[0].input, "ta-1", OutcomeKind::success, "done");
  for (int round = 0; round < 2; ++round) {
    const auto info = f.loop.run_task(f.queue->info(f.id("fc-1")));
    REQUIRE(info);
    CHECK(info->call.version == "de-1");
    CHECK(f.read("fc-1", 0).back().version == "de-1");
    f.reopen();
  }
}

TEST_CASE("what is given back, or tried again, waits for its own version") {
  Versions f;
  f.create(f.pinned("fc-1", "de-1"), {"a"});
  CHECK(f.takes(f.one, "ta-1") == "a");
  f.release("ta-1");
  CHECK(f.takes(f.follows, "ta-2").empty());
  CHECK(f.takes(f.one, "ta-2") == "a");
}

TEST_CASE("who waits for one version is not woken by another, and control hears of each") {
  Versions f;
  std::set<std::string> heard;
  f.queue->on_demand([&](const model::Target& target) { heard.insert(target.str()); });
  f.create(f.pinned("fc-1", "de-1"), {"a"});
  f.create(f.call("fc-2"), {"b"});
  f.turn();
  CHECK(heard == std::set<std::string>{"fu-1", "fu-1@de-1"});
}

TEST_CASE("what a function may hold is counted over all of its versions") {
  QueueLimits limits;
  limits.ready_per_function = 4;
  Versions f(limits);
  f.create(f.call("fc-1"), {"a", "b"});
  f.create(f.pinned("fc-2", "de-1"), {"c"});
  CHECK(f.create_code(f.pinned("fc-3", "de-2"), {"d", "e"}) == Code::resource_exhausted);
  CHECK(f.create_code(f.pinned("fc-4", "de-2"), {"d"}) == Code::ok);
  CHECK(f.create_code(f.call("fc-5"), {"e"}) == Code::resource_exhausted);
  // Whatever way an input leaves, it leaves room.
  CHECK(f.takes(f.one, "ta-1") == "c");
  REQUIRE(f.loop.run_task(f.queue->fail_waiting(f.two, {OutcomeKind::terminated, {}})));
  REQUIRE(f.loop.run_task(f.queue->cancel(f.id("fc-1"))));
  CHECK(f.create_code(f.call("fc-6"), {"1", "2", "3", "4"}) == Code::ok);
}

TEST_CASE("those that wait for one version are ended alone, and all of a function together") {
  Versions f;
  f.create(f.call("fc-1"), {"a"});
  f.create(f.pinned("fc-2", "de-1"), {"b", "c"});
  CHECK(payloads(f.queue->lease(f.one, f.container("ta-1"), 1)) == "b");
  REQUIRE(f.loop.run_task(f.queue->fail_waiting(f.one, {OutcomeKind::terminated, {"gone"}})));
  CHECK(payloads(f.read_now("fc-2")) == "gone");
  CHECK(f.queue->demand(f.one).unfinished == 1);
  CHECK(f.queue->demand(f.follows).ready == 1);
  REQUIRE(f.loop.run_task(f.queue->fail_all(f.function, {OutcomeKind::terminated, {"all"}})));
  CHECK(payloads(f.read_now("fc-2")) == "goneall");
  CHECK(payloads(f.read_now("fc-1")) == "all");
}

TEST_CASE("nothing is left of versions that nobody calls any more") {
  Versions f;
  for (int i = 0; i < 100; ++i) {
    const std::string name = std::to_string(i);
    f.create(f.pinned("fc-" + name, "de-" + name), {"a"});
    const auto leases =
        f.queue->lease({f.function, "de-" + name}, f.container("ta-1"), 1, {"de-" + name});
    REQUIRE(leases.size() == 1);
    f.complete(leases[0].input, "ta-1", OutcomeKind::success, "done");
    CHECK(payloads(f.read("fc-" + name, 0)) == "done");
    f.queue->forget(f.id("fc-" + name));
  }
  REQUIRE(f.loop.run_task(f.queue->sweep()));
  f.create(f.pinned("fc-again", "de-7"), {"b"});
  CHECK(f.takes({f.function, "de-7"}, "ta-2") == "b");
}
