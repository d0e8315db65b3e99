// SPDX-License-Identifier: Apache-2.0
// What the queue adds to a call: the warm synchronous one, which must not notice the disk, and the
// durable one, which is two commits; with and without others that wait.
#include <benchmark/benchmark.h>

#include "thaw/async/task_group.h"
#include "thaw/base/check.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::queue;

namespace {

struct Setting {
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<CallQueue> queue;
  model::FunctionId function{"fu-0123456789abcdefghijkl"};
  model::ContainerId container{"ta-0123456789ABCDEFGHIJKLMNOP"};

  Setting() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = migrations();
    database = std::move(*store::Database::open(loop, options));
    queue = std::move(*CallQueue::open(loop, *database, QueueLimits{}));
  }
};

model::NewCall call_of(const Setting& s, int number, model::Durability durability) {
  model::NewCall call;
  call.id = model::CallId("fc-0123456789abcd" + std::to_string(number));
  call.function = s.function;
  call.durability = durability;
  return call;
}

// One call from its creation to its result, as the gateway and a polling container drive it.
async::Task<void> one_call(Setting& s, int number, model::Durability durability) {
  model::NewCall call = call_of(s, number, durability);
  const model::CallId id = call.id;
  std::vector<model::NewInput> inputs{{0, {std::string(200, 'i')}}};
  THAW_CO_TRY_VOID(co_await s.queue->create(std::move(call), std::move(inputs)));
  auto leases = s.queue->lease(s.function, s.container, 1);
  THAW_CHECK(leases.size() == 1);
  model::Outcome outcome{model::OutcomeKind::success, {std::string(200, 'o')}};
  THAW_CO_TRY_VOID(
      co_await s.queue->complete(std::move(leases[0].input), s.container, std::move(outcome)));
  THAW_CO_TRY(const auto log, co_await s.queue->read(id, 0, 1, Instant::max(), nullptr));
  THAW_CHECK(log.size() == 1);
  s.queue->forget(id);
  co_return ok();
}

async::Task<void> many_calls(Setting& s, int first, int count, model::Durability durability) {
  for (int i = 0; i < count; ++i) {
    THAW_CO_TRY_VOID(co_await one_call(s, first + i, durability));
  }
  co_return ok();
}

void synchronous_call(benchmark::State& state) {
  Setting s;
  // Inputs of another function that wait: they must not make this one slower.
  model::NewCall other = call_of(s, 0, model::Durability::memory);
  other.function = model::FunctionId("fu-other");
  std::vector<model::NewInput> waiting;
  for (int i = 0; i < state.range(0); ++i) {
    waiting.push_back({i, {"waits"}});
  }
  THAW_CHECK(s.loop.run_task(s.queue->create(std::move(other), std::move(waiting))).has_value());
  constexpr int calls = 1'000;
  int next = 1;
  for (auto _ : state) {
    THAW_CHECK(s.loop.run_task(many_calls(s, next, calls, model::Durability::memory)).has_value());
    next += calls;
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * calls);
}

void durable_call(benchmark::State& state) {
  Setting s;
  async::TaskGroup tasks(s.loop);
  constexpr int calls = 10;
  int next = 1;
  for (auto _ : state) {
    for (int i = 0; i < state.range(0); ++i) {
      tasks.start("calls", many_calls(s, next, calls, model::Durability::durable));
      next += calls;
    }
    THAW_CHECK(*s.loop.run_task(tasks.join(Instant::max())));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) * calls);
}

}  // namespace

BENCHMARK(synchronous_call)->Arg(0)->Arg(100'000);
BENCHMARK(durable_call)->Arg(1)->Arg(64)->UseRealTime();
