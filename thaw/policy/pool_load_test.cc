// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/pool_load.h"

#include <doctest/doctest.h>

using namespace thaw;
using policy::ContainerLoad;
using policy::MachineLoad;
using policy::MachineSample;
using policy::MachineView;
using policy::PoolLoad;
using policy::undisturbed_use;

namespace {

const Instant noon{std::chrono::hours(12)};

MachineSample sample_at(Duration since, Duration busy, double runnable) {
  MachineSample sample;
  sample.at = noon + since;
  sample.busy = busy;
  sample.runnable = runnable;
  return sample;
}

}  // namespace

TEST_CASE("what something would use alone is found behind what it got") {
  struct Row {
    const char* name;
    Duration used, wall;
    double queueing, use;
  };
  const std::vector<Row> rows = {
      {"alone, it waits", 10ms, 1s, 0, 0.01},
      {"alone, it computes", 1s, 1s, 0, 1},
      {"one of ten that compute on two processors", 200ms, 1s, 4, 1},
      {"it waits, beside ten that compute", 10ms, 1s, 4, 0.0104},
      {"two threads", 2s, 1s, 0, 2},
      {"two threads beside others", 1500ms, 1s, 1, 1.5},
      {"a longer queue than it can have stood in", 600ms, 1s, 2, 1},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(undisturbed_use(row.used, row.wall, row.queueing, 2) ==
          doctest::Approx(row.use).epsilon(0.01));
  }
  CHECK(undisturbed_use(0s, 0s, 0, 2) == 0);
}

TEST_CASE("the machine's load is what was used between two looks, and is forgotten") {
  MachineLoad load(2);
  CHECK(load.view(noon).idle == 2);
  load.note(sample_at(0s, 10s, 1));
  MachineSample next = sample_at(100ms, 10s + 150ms, 6);
  next.containers = 100ms;
  load.note(next);
  const MachineView view = load.view(noon + 200ms);
  CHECK(view.idle == doctest::Approx(0.5));
  CHECK(view.outside == doctest::Approx(0.5));
  CHECK(view.queueing == doctest::Approx(4 / 1.5));
  CHECK(view.pressure == 1);
  CHECK(load.view(noon + 10s).idle == 2);
}

TEST_CASE("where the kernel counts pressure and queues, those are taken") {
  MachineLoad load(2);
  MachineSample first = sample_at(0s, 0s, 1), next = sample_at(100ms, 200ms, 1);
  first.queued = 1s;
  first.pressed = 1s;
  next.queued = 1s + 400ms;
  next.pressed = 1s + 80ms;
  load.note(first);
  load.note(next);
  const MachineView view = load.view(noon + 100ms);
  CHECK(view.queueing == doctest::Approx(2));
  CHECK(view.pressure == doctest::Approx(0.8));
}

TEST_CASE("a counter that goes back, or a long pause, begins anew") {
  MachineLoad load(2);
  load.note(sample_at(0s, 10s, 1));
  load.note(sample_at(100ms, 5s, 1));
  CHECK(load.view(noon + 100ms).idle == 2);
  load.note(sample_at(10s, 15s, 1));
  CHECK(load.view(noon + 10s).idle == 2);
  load.note(sample_at(10s, 15s, 1));  // no time has passed
  CHECK(load.view(noon + 10s).idle == 2);
  load.note(sample_at(10s + 2ms, 15s + 10ms, 20));  // or hardly any
  CHECK(load.view(noon + 10s).idle == 2);
  load.note(sample_at(10s + 100ms, 15s + 20ms, 1));
  CHECK(load.view(noon + 10s + 100ms).idle == doctest::Approx(1.8));
}

TEST_CASE("a container's starts and work are told apart, and what is idle does not count") {
  PoolLoad load;
  MachineView machine;
  machine.cores = 2;
  machine.idle = 1;
  ContainerLoad container;
  load.note_start(container, noon, noon + 1s, 900ms, machine);
  load.note_ready(container, noon + 1s, 900ms);
  load.begin_sum();
  load.add_running(container);
  auto view = load.view(noon + 1s, machine, 0);
  CHECK(*view.starting == doctest::Approx(0.9));
  CHECK(view.unseen == 1);
  CHECK(!view.fresh);
  load.note_work(container, noon + 1s + 10ms, 905ms, machine);  // too short a moment
  CHECK(!container.alone);
  load.note_work(container, noon + 1s + 100ms, 910ms, machine);
  load.begin_sum();
  load.add_running(container);
  view = load.view(noon + 1s + 100ms, machine, 0);
  CHECK(view.unseen == 0);
  CHECK(view.demand == doctest::Approx(0.1));
  CHECK(*view.fresh == doctest::Approx(0.1));
  CHECK(view.cores == 2);
  PoolLoad::lapse(container);
  CHECK(container.got == 0);
  load.note_work(container, noon + 60s, 2s, machine);
  load.note_work(container, noon + 61s, 3s, machine);
  CHECK(*container.alone == doctest::Approx(0.55));
}

TEST_CASE("containers that brought nothing are remembered until nothing waits any more") {
  PoolLoad load;
  ContainerLoad first, second;
  MachineView machine;
  machine.cores = 16;
  Instant now = noon;
  const auto run = [&](std::size_t running, int calls_per_tick) {
    for (int i = 0; i < 10; ++i) {
      now += 50ms;
      for (int n = 0; n < calls_per_tick; ++n) {
        load.note_end();
      }
      load.weigh(running, now);
    }
  };
  load.note_ready(first, now, 0s);
  run(1, 10);
  CHECK(!load.view(now, machine, 0).is_useless);
  load.note_ready(second, now, 0s);
  CHECK(!load.view(now, machine, 0).is_settled);
  run(2, 11);
  CHECK(load.view(now, machine, 0).is_settled);
  CHECK(load.view(now, machine, 0).is_useless);
  load.rest();
  CHECK(!load.view(now, machine, 0).is_useless);
  load.note_ready(second, now, 0s);
  run(1, 10);
  run(2, 19);
  CHECK(!load.view(now, machine, 0).is_useless);
}

TEST_CASE("a pool may have what it has and what is idle, and its even part in any case") {
  policy::ProcessorShare share = {
      .cores = 4, .idle = 1, .used = 1, .outside = 2, .calls = 0, .rivals = 3};
  CHECK(policy::cores_for(share) == doctest::Approx(2));
  share.idle = 0;
  share.used = 0.2;
  CHECK(policy::cores_for(share) == doctest::Approx(1));
  // What its own calls cost beside its containers is not there for more of them.
  share.rivals = 0;
  share.calls = 500;
  CHECK(policy::cores_for(share) == doctest::Approx(2.5));
}
