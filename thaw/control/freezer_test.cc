// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/freezer.h"

#include <doctest/doctest.h>

#include "thaw/worker/testing/fake_container.h"

using namespace thaw;
using namespace thaw::control;
using worker::Traffic;
using worker::testing::FakeContainer;

namespace {

// A freezer and idle containers whose poll is parked.
struct House {
  explicit House(FreezerOptions given = {}) : options(given) {
    options.after = Duration::zero();
    options.retry = 1ms;
    freezer = std::make_unique<Freezer>(
        FreezerParts{loop, [this](Container&) { changed.notify_all(); }, [this] { return memory; }},
        options);
    freezer->start();
  }
  ~House() { (void)loop.run_task(freezer->stop()); }

  std::shared_ptr<Container> idle_container(model::FunctionSpec spec = {}) {
    auto container = std::make_shared<Container>();
    container->id = model::ContainerId("ta-" + std::to_string(++count));
    container->spec = std::make_shared<const model::FunctionSpec>(std::move(spec));
    auto running = std::make_unique<FakeContainer>(container->id);
    running->now.exchanges = 1;
    container->running = std::move(running);
    container->start.reached_ready = true;
    container->work.parked_polls = 1;
    container->work.idle_since = monotonic_now();
    return container;
  }
  static FakeContainer& fake(Container& container) {
    return static_cast<FakeContainer&>(*container.running);
  }
  static sandbox::testing::FakeSandbox& sandbox(Container& container) {
    return fake(container).fake;
  }

  // Runs the loop until the condition holds, for a generous while.
  bool comes_true(const std::function<bool()>& condition) {
    const auto wait = [](const std::function<bool()>& holds) -> async::Task<bool> {
      const Instant latest = monotonic_now() + 20s;
      while (!holds() && monotonic_now() < latest) {
        THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
      }
      co_return holds();
    };
    return *loop.run_task(wait(condition));
  }
  bool becomes_frozen(Container& container) {
    return comes_true([&] { return container.freezing.state == Freezing::State::yes; });
  }
  // Runs the loop while the freezer's clock goes on for some of its looks.
  void pass() {
    const Instant until = monotonic_now() + 10ms;
    (void)comes_true([until] { return monotonic_now() >= until; });
  }

  FreezerOptions options;
  async::Loop loop;
  worker::MachineMemory memory;
  async::Event changed;
  std::unique_ptr<Freezer> freezer;
  int count = 0;
};

}  // namespace

TEST_CASE("an idle container is frozen, and thawed before it is asked") {
  House house;
  const auto container = house.idle_container();
  house.freezer->watch(*container);
  REQUIRE(house.becomes_frozen(*container));
  CHECK(House::sandbox(*container).is_frozen);
  CHECK(house.freezer->thaw(*container) == Freezer::Found::frozen);
  CHECK(!House::sandbox(*container).is_frozen);
  CHECK(container->freezing.state == Freezing::State::no);
  CHECK(container->freezing.thaw_time > Duration::zero());
  CHECK(house.freezer->thaw(*container) == Freezer::Found::running);
  CHECK(house.freezer->counters().freezes == 1);
  CHECK(house.freezer->counters().thaws == 1);
}

TEST_CASE("only what is at rest wholly may be frozen") {
  House house;
  const auto container = house.idle_container();
  const Traffic parked{1, 1, Traffic::Wire::quiet};
  CHECK(is_at_rest(*container, parked));
  CHECK_FALSE(is_at_rest(*container, {1, 1, Traffic::Wire::in_flight}));
  CHECK_FALSE(is_at_rest(*container, {1, 2, Traffic::Wire::quiet}));  // such as a heartbeat
  CHECK_FALSE(is_at_rest(*container, {1, 0, Traffic::Wire::quiet}));
  container->work.parked_polls = 0;  // the one exchange is another than the poll
  CHECK_FALSE(is_at_rest(*container, parked));
  container->work.parked_polls = 1;
  container->work.proxied = 1;
  CHECK_FALSE(is_at_rest(*container, parked));
  container->work.proxied = 0;
  container->work.inputs[model::InputId("in-1")] = {};
  CHECK_FALSE(is_at_rest(*container, parked));
  container->work.inputs.clear();
  container->ending.reason = StopReason::idle;
  CHECK_FALSE(is_at_rest(*container, parked));
  container->ending.reason = StopReason::none;
  container->start.reached_ready = false;
  CHECK_FALSE(is_at_rest(*container, parked));
}

TEST_CASE("a container with something in flight is frozen when that has ended") {
  House house;
  const auto container = house.idle_container();
  House::fake(*container).now.exchanges = 2;
  house.freezer->watch(*container);
  house.pass();
  CHECK(House::sandbox(*container).freezes == 0);
  House::fake(*container).now.exchanges = 1;
  CHECK(house.becomes_frozen(*container));
}

TEST_CASE("a container is at rest when each of its requests is a poll that waits") {
  House house;
  const auto container = house.idle_container();
  worker::Traffic traffic{.connections = 2, .exchanges = 2};
  container->work.parked_polls = 2;
  CHECK(is_at_rest(*container, traffic));
  traffic.exchanges = 3;
  CHECK_FALSE(is_at_rest(*container, traffic));
  traffic.exchanges = 1;  // the other's answer is on its way
  CHECK_FALSE(is_at_rest(*container, traffic));
  container->work.parked_polls = 0;
  traffic.exchanges = 0;  // it does not ask
  CHECK_FALSE(is_at_rest(*container, traffic));
}

TEST_CASE("a request that arrives while a freeze is under way ends it") {
  House house;
  const auto container = house.idle_container();
  House::sandbox(*container).holds_freezes = true;
  house.freezer->watch(*container);
  REQUIRE(house.comes_true([&] { return House::sandbox(*container).freezes == 1; }));
  CHECK(container->freezing.state == Freezing::State::freezing);
  CHECK(house.freezer->thaw(*container) == Freezer::Found::running);
  container->work.inputs[model::InputId("in-1")] = {};
  house.pass();
  CHECK(!House::sandbox(*container).is_frozen);
  CHECK(container->freezing.state == Freezing::State::no);
  CHECK(house.freezer->counters().freezes == 0);
  CHECK(house.freezer->counters().abandoned == 1);
  // It is idle again later, and frozen then.
  House::sandbox(*container).holds_freezes = false;
  container->work.inputs.clear();
  house.freezer->watch(*container);
  CHECK(house.becomes_frozen(*container));
}

TEST_CASE("what the container said in its last moment thaws it at once") {
  House house;
  const auto container = house.idle_container();
  House::sandbox(*container).while_freezing = [&] {
    House::fake(*container).now.wire = Traffic::Wire::in_flight;
  };
  house.freezer->watch(*container);
  REQUIRE(house.comes_true([&] { return house.freezer->counters().abandoned >= 1; }));
  CHECK(!House::sandbox(*container).is_frozen);
  CHECK(container->freezing.state == Freezing::State::no);
  House::sandbox(*container).while_freezing = nullptr;
  House::fake(*container).now.wire = Traffic::Wire::quiet;
  CHECK(house.becomes_frozen(*container));
}

TEST_CASE("a container that the kernel does not freeze runs on and is tried again") {
  House house;
  const auto container = house.idle_container();
  House::sandbox(*container).freeze_error = Error::deadline_exceeded("a disk hangs");
  house.freezer->watch(*container);
  REQUIRE(house.comes_true([&] { return house.freezer->counters().failures == 1; }));
  CHECK(!House::sandbox(*container).is_frozen);
  House::sandbox(*container).freeze_error.reset();
  CHECK(house.becomes_frozen(*container));
}

TEST_CASE("a machine that cannot freeze is asked once") {
  House house;
  const auto first = house.idle_container();
  const auto second = house.idle_container();
  House::sandbox(*first).freeze_error = Error::failed_precondition("no freezer");
  house.freezer->watch(*first);
  REQUIRE(house.comes_true([&] { return house.freezer->counters().failures == 1; }));
  house.freezer->watch(*second);
  house.freezer->watch(*first);
  house.pass();
  CHECK(House::sandbox(*first).freezes == 1);
  CHECK(House::sandbox(*second).freezes == 0);
}

TEST_CASE("the setting, the function and its minimum keep containers from being frozen") {
  const auto is_frozen = [](FreezerOptions options, const model::Scaling& scaling) {
    House house(options);
    model::FunctionSpec spec;
    spec.scaling = scaling;
    const auto container = house.idle_container(std::move(spec));
    house.freezer->watch(*container);
    house.pass();
    return house.freezer->counters().freezes > 0;
  };
  model::Scaling scaling;
  CHECK(is_frozen({}, scaling));
  FreezerOptions off;
  off.use = FreezerOptions::Use::off;
  CHECK_FALSE(is_frozen(off, scaling));
  scaling.min_containers = 1;
  CHECK_FALSE(is_frozen({}, scaling));
  scaling.min_containers = 0;
  scaling.freezing = model::Scaling::Freezing::never;
  CHECK_FALSE(is_frozen({}, scaling));
  scaling.freezing = model::Scaling::Freezing::allowed;
  scaling.scaledown_window = Duration::zero();
  CHECK_FALSE(is_frozen({}, scaling));
}

TEST_CASE("memory is taken back from what is frozen longest, and only where it can go") {
  House house;
  house.memory = {1'000, 50, 0};
  const auto young = house.idle_container();
  const auto old = house.idle_container();
  old->work.idle_since = young->work.idle_since - 1s;
  house.freezer->watch(*young);
  house.freezer->watch(*old);
  REQUIRE(house.becomes_frozen(*young));
  REQUIRE(house.becomes_frozen(*old));
  house.pass();
  CHECK(House::sandbox(*old).reclaims == 0);
  house.memory = {1'000, 50, 500};
  REQUIRE(house.comes_true([&] { return House::sandbox(*young).reclaims == 1; }));
  CHECK(House::sandbox(*old).reclaims == 1);
  house.pass();
  CHECK(House::sandbox(*old).reclaims == 1);
  CHECK(house.freezer->counters().reclaimed_bytes == 2'000);
}

TEST_CASE("a container that ends while it is frozen is forgotten") {
  House house;
  auto container = house.idle_container();
  house.freezer->watch(*container);
  REQUIRE(house.becomes_frozen(*container));
  house.freezer->forget(*container);
  CHECK(container->freezing.state == Freezing::State::no);
  CHECK(container.use_count() == 1);
}

TEST_CASE("the clock of a container adds up the time in each state") {
  StateClock clock;
  const Instant start{1s};
  clock.enter(Status::starting, start);
  clock.enter(Status::busy, start + 2s);
  clock.enter(Status::warm, start + 3s);
  clock.enter(Status::busy, start + 7s);
  clock.enter(Status::busy, start + 8s);
  CHECK(clock.times(start + 9s)[Status::busy] == 3s);
  clock.enter(Status::frozen, start + 10s);
  clock.enter(Status::stopped, start + 40s);
  const StateTimes times = clock.times(start + 90s);
  CHECK(times.at(Status::starting) == 2s);
  CHECK(times.at(Status::busy) == 4s);
  CHECK(times.at(Status::warm) == 4s);
  CHECK(times.at(Status::frozen) == 30s);
  CHECK(!times.contains(Status::stopped));
}

TEST_CASE("frozen seconds are metered as memory only") {
  const Metered sum = metered({{Status::starting, 2s},
                               {Status::warm, 4s},
                               {Status::busy, 8s},
                               {Status::frozen, 16s},
                               {Status::stopping, 1s}});
  CHECK(sum.processor == 15s);
  CHECK(sum.memory == 31s);
}

TEST_CASE("what has not read what was sent to it is not at rest; that is asked last") {
  House house;
  const auto container = house.idle_container();
  FakeContainer& fake = House::fake(*container);
  fake.now.exchanges = 2;
  house.freezer->watch(*container);
  house.pass();
  CHECK(fake.unread_asked == 0);
  fake.with_unread = true;
  fake.now.exchanges = 1;
  REQUIRE(house.comes_true([&] { return fake.unread_asked > 0; }));
  CHECK(container->freezing.state == Freezing::State::no);
  CHECK(container->freezing.retry > house.options.retry);  // it is looked at ever more seldom
  fake.with_unread = false;
  CHECK(house.becomes_frozen(*container));
  CHECK(container->freezing.retry == Duration::zero());
}
