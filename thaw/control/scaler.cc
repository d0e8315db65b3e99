// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/scaler.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/app_state.h"
#include "thaw/control/kept_ready.h"

namespace thaw::control {

namespace {

// What cannot be stored now is told with a later look; only the end of the task is passed on.
async::Task<void> tell_or_log(async::Task<void> telling) {
  const Result<void> told = co_await std::move(telling);
  // Not by its code: what it waited for may have been cancelled, and the loop goes on.
  if (co_await async::is_cancelled()) {
    co_return Error::cancelled("the scaler was told to end");
  }
  if (!told) {
    log_warning("a failed start was not told to those who wait",
                {{"reason", told.error().to_string()}});
  }
  co_return ok();
}

}  // namespace

// The hot path: wake as many parked containers as there are inputs, then let scaling look.
void Scaler::demand(const model::Target& target) {
  Pool& pool = parts_.pools.of(target);
  const queue::Demand now = parts_.queue.demand(target);
  std::size_t to_wake = now.ready;
  for (auto last = pool.parked.end(); to_wake > 0 && last != pool.parked.begin();) {
    --last;
    if ((*last)->stopping() || !has_room_for_inputs(**last)) {
      continue;
    }
    Container* container = *last;
    last = pool.parked.erase(last);
    --to_wake;
    container->wake.notify_all();
  }
  if (now.ready > 0) {
    parts_.keep_alive.note_arrival(pool);
  }
  if (now.ready > 0 && pool.demanded == Instant{}) {
    pool.demanded = monotonic_now();
    parts_.load.expect(pool.demanded);
  }
  parts_.pools.looks().want_now(target);
}

async::Task<void> Scaler::loop(Scaler& self) {
  while (true) {
    while (!self.parts_.pools.looks().empty()) {
      const std::set<model::Target> targets = self.parts_.pools.looks().take();
      for (const model::Target& target : targets) {
        const PoolPtr pool = self.parts_.pools.shared(target);
        if (self.parts_.starts.is_known_to_fail(*pool)) {
          model::Outcome outcome = pool->known_failure->outcome;
          // tidy(ends): fails only when the loop is told to end
          THAW_CO_TRY_VOID(
              co_await tell_or_log(self.parts_.starts.tell_waiting(pool, std::move(outcome))));
        }
        if (pool->port_waiters > 0 && self.is_for_a_version_that_is_gone(*pool)) {
          model::Outcome outcome = model::failed(
              model::OutcomeKind::terminated,
              {.type = model::failure_type::app_stopped, .message = version_is_gone(target)});
          // tidy(ends): fails only when the loop is told to end
          THAW_CO_TRY_VOID(
              co_await tell_or_log(self.parts_.starts.tell_waiting(pool, std::move(outcome))));
        }
        self.evaluate(*pool);
      }
      self.grant_wanted();
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await self.parts_.pools.looks().wait());
  }
}

bool Scaler::is_for_a_version_that_is_gone(const Pool& pool) const {
  return pool.target.is_pinned() && !parts_.catalog.spec_of(pool.target);
}

void Scaler::evaluate(Pool& pool) {
  const auto function = parts_.catalog.functions.find(pool.target.function.str());
  // The version that its containers run: of who follows it, the live one.
  const auto live = parts_.catalog.spec_of(pool.target);
  policy::PoolView view;
  view.now = monotonic_now();
  view.wanted = live != nullptr && !app_is_stopped(parts_.catalog, *function) && !pool.stopped &&
                !parts_.pools.shutting_down();
  view.waiting = parts_.queue.demand(pool.target).ready + pool.port_waiters;
  view.waited = pool.demanded == Instant{} ? Duration::zero() : view.now - pool.demanded;
  view.call_time = pool.call_time;
  view.start_time = live ? parts_.keep_alive.start_time_of(pool, *live) : pool.start_time;
  view.no_start_before = pool.no_start_before;
  std::vector<ContainerPtr> idle;
  std::vector<Duration> ages;  // of the calls that run
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = parts_.pools.find(id);
    if (live && !pool.target.is_pinned() && container->spec->version != live->version &&
        !container->stopping()) {
      parts_.pools.stop(*container, StopReason::replaced, parts_.pools.graces().stop);
    }
    if (container->stopping() || container->status == Status::stopped) {
      continue;
    }
    if (!container->start.reached_ready) {
      ++view.starting;
      continue;
    }
    ++view.running;
    view.free_slots += container->work.batch_room + free_slots(*container);
    for (const auto& [input, work] : container->work.inputs) {
      if (work.deadline != Instant::max()) {  // its batch is full
        ages.push_back(view.now - work.started);
      }
    }
    if (container->idle()) {
      idle.push_back(container);
    }
  }
  // Only its end tells that a call took longer than those before it; that most of them still run
  // says so earlier.
  if (view.call_time > Duration::zero() && !ages.empty()) {
    const auto middle = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() / 2);
    std::nth_element(ages.begin(), middle, ages.end());
    view.call_time = std::max(view.call_time, *middle);
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->work.idle_since < b->work.idle_since; });
  for (const ContainerPtr& container : idle) {
    view.idle.push_back({container->work.idle_since});
  }
  // What there is of them is granted afterwards.
  view.capacity = live ? std::min(options_.most, room_in_function(pool, *live)) : options_.most;
  view.processor = parts_.load.view_for(pool, view);
  view.better_soon = has_better_start_soon(pool, view);
  if (view.wanted) {
    view.last = parts_.keep_alive.last_of(pool, *live, view);
  }
  model::Scaling scaling = live ? live->scaling : model::Scaling{};
  scaling.min_containers = static_cast<int>(kept_ready(parts_.catalog, pool.target));
  policy::ScalePlan plan = policy::plan_scale(scaling, view);
  pool.wants_more = false;
  if (view.wanted) {
    make_way_for(pool, view);
  }
  if (plan.start > 0) {
    plan.start -= take_standbys(pool, *live, plan);
  }
  if (plan.start > 0) {
    want_starts(pool, live, plan);
  }
  for (std::size_t i = 0; i < plan.stop_idle; ++i) {
    const StopReason reason = view.wanted                           ? StopReason::idle
                              : is_for_a_version_that_is_gone(pool) ? StopReason::replaced
                                                                    : StopReason::app_stopped;
    parts_.pools.stop(*idle[i], reason, parts_.pools.graces().stop);
  }
  if (view.waiting == 0) {
    pool.demanded = Instant{};
  }
}

// Of the first start ever it is not known yet by what others could start; of a template that is
// being made it is. A few calls are answered sooner by a processor for each.
bool Scaler::has_better_start_soon(Pool& pool, const policy::PoolView& view) {
  if (view.waiting <= view.free_slots + parts_.worker.processor_count()) {
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

}  // namespace thaw::control
