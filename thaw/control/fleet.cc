// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/fleet.h"

#include <algorithm>
#include <csignal>
#include <list>

#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/control/pool.h"
#include "thaw/policy/backoff.h"
#include "thaw/policy/scale.h"
#include "thaw/worker/machine.h"

namespace thaw::control {

using model::OutcomeKind;

Fleet::Fleet(FleetParts parts, FleetOptions options)
    : parts_(std::move(parts)),
      options_(options),
      snapshots_(parts_.snapshots),
      freezer_({parts_.loop, [this](Container& c) { update_status(c); }, worker::machine_memory},
               options.freezer),
      loops_(parts_.loop),
      container_tasks_(parts_.loop) {}

Fleet::~Fleet() = default;

void Fleet::start() {
  parts_.queue.on_demand([this](const model::FunctionId& function) { demand(function); });
  freezer_.start();
  loops_.start("scaling", evaluate_loop(*this));
  loops_.start("time limits", tick_loop(*this));
  loops_.start("orphaned calls", orphan_loop(*this));
  loops_.start("snapshots", snapshot_loop(*this));
  loops_.start("old snapshots", collect_loop(*this));
  loops_.start("published functions", expect_loop(*this));
  for (const model::FunctionId& function : parts_.queue.functions_with_demand()) {
    demand(function);
  }
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    const auto live = function->live();
    if (live && live->scaling.min_containers > 0) {
      dirty_.insert(function->id);
    }
  }
  resume_gaps();
}

std::shared_ptr<Fleet::Pool> Fleet::shared_pool(const model::FunctionId& function) {
  auto& pool = pools_[function];
  if (!pool) {
    pool = std::make_shared<Pool>(function);
  }
  return pool;
}

Fleet::ContainerPtr Fleet::find(const model::ContainerId& id) const {
  const auto found = containers_.find(id);
  return found == containers_.end() ? nullptr : found->second;
}

// The hot path: wake as many parked containers as there are inputs, then let scaling look.
void Fleet::demand(const model::FunctionId& function) {
  Pool& pool = pool_of(function);
  const queue::Demand now = parts_.queue.demand(function);
  for (std::size_t n = now.ready; n > 0 && !pool.parked.empty(); --n) {
    Container* container = pool.parked.back();
    pool.parked.pop_back();
    container->wake.notify_all();
  }
  if (now.ready > 0) {
    note_arrival(pool);
  }
  if (now.ready > 0 && pool.demanded == Instant{}) {
    pool.demanded = monotonic_now();
    expect_load(pool.demanded);
  }
  dirty_.insert(function);
  dirtied_.notify_one();
}

namespace {

// What cannot be stored now is told with a later look; only the end of the task is passed on.
async::Task<void> tell_or_log(async::Task<void> telling) {
  const Result<void> told = co_await std::move(telling);
  if (!told && told.error().code() == Code::cancelled) {
    co_return told;
  }
  if (!told) {
    log_warning("a failed start was not told to those who wait",
                {{"reason", told.error().to_string()}});
  }
  co_return ok();
}

}  // namespace

async::Task<void> Fleet::evaluate_loop(Fleet& fleet) {
  while (true) {
    while (!fleet.dirty_.empty()) {
      const std::set<model::FunctionId> functions = std::exchange(fleet.dirty_, {});
      for (const model::FunctionId& function : functions) {
        const std::shared_ptr<Pool> pool = fleet.shared_pool(function);
        if (fleet.is_known_to_fail(*pool)) {
          std::string payload = pool->known_failure->payload;
          THAW_CO_TRY_VOID(co_await tell_or_log(fleet.tell_waiting(pool, std::move(payload))));
        }
        fleet.evaluate(*pool);
      }
      fleet.grant_wanted_starts();
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await fleet.dirtied_.wait(Instant::max()));
  }
}

// An app whose record was lost counts as one that was stopped.
bool Fleet::is_stopped(const catalog::Function& function) const {
  const auto app = parts_.catalog.apps.find(function.app.str());
  return !app || app->state == model::AppState::stopped;
}

void Fleet::evaluate(Pool& pool) {
  const auto function = parts_.catalog.functions.find(pool.function.str());
  const auto live = function ? function->live() : nullptr;
  policy::PoolView view;
  view.now = monotonic_now();
  view.wanted = live != nullptr && !is_stopped(*function) && !pool.stopped && !shutting_down_;
  view.waiting = parts_.queue.demand(pool.function).ready + pool.port_waiters;
  view.waited = pool.demanded == Instant{} ? Duration::zero() : view.now - pool.demanded;
  view.call_time = pool.call_time;
  view.start_time = live ? start_time_of(pool, *live) : pool.start_time;
  view.no_start_before = pool.no_start_before;
  std::vector<ContainerPtr> idle;
  std::vector<Duration> ages;  // of the calls that run
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = find(id);
    if (live && container->spec->version != live->version && !container->stopping()) {
      stop(*container, StopReason::replaced, options_.stop_grace);
    }
    if (container->stopping() || container->status == Status::stopped) {
      continue;
    }
    if (!container->reached_ready) {
      ++view.starting;
      continue;
    }
    ++view.running;
    const std::size_t used = container->inputs.size() + container->proxied;
    view.free_slots += container->batch_room + slots(container->spec->scaling) -
                       std::min(slots(container->spec->scaling), used);
    for (const auto& [input, work] : container->inputs) {
      if (work.deadline != Instant::max()) {  // its batch is full
        ages.push_back(view.now - work.started);
      }
    }
    if (container->idle()) {
      idle.push_back(container);
    }
  }
  // Calls that take longer than those before them did are known to only when they end; that most of
  // them still run says so earlier.
  if (view.call_time > Duration::zero() && !ages.empty()) {
    const auto middle = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() / 2);
    std::nth_element(ages.begin(), middle, ages.end());
    view.call_time = std::max(view.call_time, *middle);
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->idle_since < b->idle_since; });
  for (const ContainerPtr& container : idle) {
    view.idle.push_back({container->idle_since});
  }
  view.capacity = options_.max_containers;  // what there is of them is granted afterwards
  view.processor = processors_for(pool, view);
  view.better_soon = has_better_start_soon(pool, view);
  if (view.wanted) {
    view.last = keep_last(pool, *live, view);
  }
  const policy::ScalePlan plan = policy::plan_scale(live ? live->scaling : model::Scaling{}, view);
  pool.wants_more = false;
  if (plan.start > 0) {
    want_starts(pool, live, plan);
  }
  for (std::size_t i = 0; i < plan.stop_idle; ++i) {
    stop(*idle[i], view.wanted ? StopReason::idle : StopReason::app_stopped, options_.stop_grace);
  }
  if (view.waiting == 0) {
    pool.demanded = Instant{};
  }
}

// Of the first start ever it is not known yet by what others could start; of a template that is
// being made it is. A few calls are answered sooner by a processor for each.
bool Fleet::has_better_start_soon(Pool& pool, const policy::PoolView& view) {
  if (view.waiting <= view.free_slots + worker::processor_count()) {
    return false;
  }
  if (pool.levels.empty()) {
    return view.starting > 0;
  }
  const bool comes = pool.fork && parts_.worker.hasten(*pool.fork);
  if (!comes) {
    pool.fork.reset();
  }
  return comes;
}

void Fleet::start_container(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec) {
  auto container = std::make_shared<Container>();
  container->id = model::ContainerId(codec::random_container_id());
  container->spec = std::move(spec);
  container->created_at = wall_now();
  container->clock.enter(Status::starting, monotonic_now());
  container->moments.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  containers_[container->id] = container;
  pool.containers.insert(container->id);
  container_tasks_.start("container " + container->id.str(), run(*this, container));
}

void Fleet::update_status(Container& container) {
  if (container.status == Status::stopped) {
    return;  // it has ended, whatever it is told now
  }
  if (container.stopping()) {
    container.status = Status::stopping;
  } else if (container.frozen == Container::Frozen::yes) {
    container.status = Status::frozen;
  } else if (container.reached_ready) {
    container.status = container.idle() ? Status::warm : Status::busy;
  }
  container.clock.enter(container.status, monotonic_now());
  if (container.status == Status::warm) {
    note_memory(parts_.measurements, container, monotonic_now());
    freezer_.watch(container);
  }
}

model::Level Fleet::awaken(Container& container) {
  if (freezer_.thaw(container) == Freezer::Found::frozen) {
    return model::Level::frozen;
  }
  const bool first = container.calls_served == 0 && container.inputs.empty();
  return first && container.proxied == 0 ? container.level : model::Level::warm;
}

// The poll of a container that asks for inputs answers `stop`; one that works finishes first, or is
// interrupted by the caller. kill_at bounds both.
void Fleet::stop(Container& container, StopReason reason, Duration grace) {
  if (!container.stopping()) {
    container.stop_reason = reason;
  }
  container.kill_at = std::min(container.kill_at, monotonic_now() + grace);
  if (!container.idle() && reason == StopReason::replaced) {
    container.kill_at = Instant::max();  // its calls keep their own time limits
  }
  (void)freezer_.thaw(container);
  update_status(container);
  container.wake.notify_all();
}

void Fleet::refresh(const model::FunctionId& function) {
  note_published(function);
  if (!pools_.contains(function)) {
    // Nobody has called it yet: until somebody does, it costs its record in the catalog only.
    const auto record = parts_.catalog.functions.find(function.str());
    const auto live = record ? record->live() : nullptr;
    if (!live || live->scaling.min_containers == 0) {
      return;
    }
  }
  pool_of(function).stopped = false;
  pool_of(function).failures = 0;
  pool_of(function).no_start_before = Instant{};
  pool_of(function).known_failure.reset();
  dirty_.insert(function);
  dirtied_.notify_one();
}

void Fleet::forget_gone(const std::set<std::string>& versions) {
  parts_.measurements.keep_only(versions);
  std::erase_if(pools_, [this](const auto& entry) {
    const auto& [function, pool] = entry;
    return pool.use_count() == 1 && pool->containers.empty() && pool->port_waiters == 0 &&
           !dirty_.contains(function) && !parts_.catalog.functions.find(function.str());
  });
}

Result<void> Fleet::stop_container(const model::ContainerId& id, StopHow how) {
  const ContainerPtr container = find(id);
  if (!container) {
    return Error::not_found("container " + id.str() + " does not exist or has ended");
  }
  stop(*container, StopReason::user,
       how == StopHow::graceful ? options_.stop_grace : options_.interrupt_grace);
  if (how == StopHow::now && container->running && !container->idle()) {
    return container->running->sandbox().signal(SIGINT);
  }
  return ok();
}

void Fleet::cancel_inputs(const std::vector<model::InputId>& inputs, StopHow how) {
  for (const auto& [id, container] : containers_) {
    for (const model::InputId& input : inputs) {
      const auto work = container->inputs.find(input);
      if (work == container->inputs.end()) {
        continue;
      }
      if (how == StopHow::now) {
        stop(*container, StopReason::user, Duration::zero());
      } else if (work->second.delivery != RunningInput::Delivery::done) {
        work->second.delivery = RunningInput::Delivery::to_come_cancelled;
      } else {
        container->cancels.push_back(input);
        container->wake.notify_all();
      }
    }
  }
}

}  // namespace thaw::control
