// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/keep_alive.h"

#include <algorithm>

#include "thaw/base/log.h"

namespace thaw::control {

namespace {

// Calls that follow this soon are one busy time: no container goes in between.
constexpr Duration same_session = 1s;

bool is_busy(const Container& container) {
  return !container.work.inputs.empty() || container.work.proxied > 0;
}

WallTime wall_of(Instant moment) {
  return wall_now() -
         std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now() - moment);
}

}  // namespace

void KeepAlive::note_arrival(Pool& pool) {
  const Instant now = monotonic_now();
  const bool waited_for = pool.demanded != Instant{};
  if (pool.target.is_pinned() || waited_for || pool.last_active == Instant{} ||
      now - pool.last_active < same_session) {
    return;
  }
  const bool busy =
      std::any_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
        const ContainerPtr container = parts_.pools.find(id);
        return container && is_busy(*container);
      });
  if (busy) {
    return;
  }
  FunctionUse& use = parts_.measurements.use_of(pool.target.function);
  use.idle.arrived(wall_of(pool.last_active), wall_now());
  use.last_active = wall_now();
  parts_.measurements.changed(pool.target.function);
  note_end(pool);  // the inputs that come with this one end no gap of their own
}

void KeepAlive::note_end(Pool& pool) {
  pool.last_active = monotonic_now();
  pool.look_at = pool.last_active + same_session;
}

void KeepAlive::resume_gaps() {
  for (const auto& [function, last_active] : parts_.measurements.known_functions()) {
    const auto record = parts_.catalog.functions.find(function.str());
    const auto live = record ? record->live() : nullptr;
    const Duration since = wall_now() - last_active;
    if (!live || live->scaling.window_by == model::Scaling::WindowBy::user || since < 0s ||
        since > options_.costs.longest_idle) {
      continue;
    }
    Pool& pool = parts_.pools.of(function);
    pool.last_active = monotonic_now() - since;
    pool.look_at = monotonic_now() + same_session;
  }
}

void KeepAlive::plan_gap(Pool& pool, const model::FunctionSpec& live) {
  if (pool.plan && pool.planned_for == pool.last_active) {
    return;
  }
  policy::KeepAliveCosts costs;
  const policy::LevelRecords& levels = parts_.measurements.levels_of(live.version);
  std::uint64_t memory = 0;
  for (const policy::LevelRecord& record : levels.all) {
    memory = std::max(memory, record.memory_bytes);
  }
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = parts_.pools.find(id);
    if (container && container->idle() && container->running) {
      memory = container->running->memory_bytes();
      break;
    }
  }
  if (memory > 0) {
    costs.memory_gb = static_cast<double>(memory) / (1 << 30);
  }
  costs.start_time = start_time_of(pool, live);
  FunctionUse& use = parts_.measurements.use_of(pool.target.function);
  use.last_active = wall_of(pool.last_active);
  parts_.measurements.changed(pool.target.function);
  pool.plan =
      policy::plan_keep_alive(options_.costs, policy::Outlook(use.idle, use.last_active), costs);
  pool.planned_for = pool.last_active;
}

Duration KeepAlive::start_time_of(const Pool& pool, const model::FunctionSpec& live) const {
  const policy::LevelRecords& levels = parts_.measurements.levels_of(live.version);
  const bool measured = !pool.levels.empty() && levels.of(pool.levels.front()).starts > 0;
  return measured ? policy::expected_start(levels, pool.levels) : pool.start_time;
}

policy::PoolView::Last KeepAlive::last_of(Pool& pool, const model::FunctionSpec& live,
                                          const policy::PoolView& view) {
  using Last = policy::PoolView::Last;
  pool.look_at = Instant::max();
  if (pool.target.is_pinned() || live.scaling.window_by == model::Scaling::WindowBy::user ||
      pool.last_active == Instant{}) {
    pool.plan.reset();
    return Last::by_window;
  }
  if (view.waiting > 0 || view.running > view.idle.size()) {
    return Last::keep;
  }
  plan_gap(pool, live);
  const Duration idle = view.now - pool.last_active;
  for (const policy::WarmSpan& span : pool.plan->spans) {
    const bool ahead = span.from > options_.shortest_window;
    // A container that is to be there at a moment begins to start before.
    const Duration from = ahead ? span.from - std::max<Duration>(view.start_time, 100ms) : 0s;
    const Duration until = std::max(span.until, options_.shortest_window);
    if (idle < from) {
      const bool fresh = idle < options_.shortest_window;
      pool.look_at = pool.last_active + (fresh ? options_.shortest_window : from);
      return fresh ? Last::keep : Last::let_go;
    }
    if (idle < until) {
      pool.look_at = pool.last_active + until;
      const bool start = ahead && view.running + view.starting == 0;
      if (start) {
        ++parts_.counters.started_ahead;
        log_info("a container is started ahead of a call",
                 {{"function", live.name},
                  {"idle_s", std::to_string(to_seconds(idle))},
                  {"because", std::string(policy::reason_name(pool.plan->reason))}});
      }
      return ahead ? Last::start : Last::keep;
    }
  }
  if (idle < options_.shortest_window) {
    pool.look_at = pool.last_active + options_.shortest_window;
    return Last::keep;
  }
  return Last::let_go;
}

bool KeepAlive::is_over_its_window(const Container& container, Instant now) const {
  if (!container.idle() || container.in_background() || container.stopping() ||
      container.status == Status::stopped) {
    return false;
  }
  // Whoever changes a function's window means its living containers too.
  const auto live = parts_.catalog.spec_of(container.target);
  const model::Scaling& scaling = live ? live->scaling : container.spec->scaling;
  // The last container of a function without a window of its own is looked at when it is time.
  const Pool& pool = parts_.pools.of(container.target);
  const bool kept = !container.target.is_pinned() &&
                    scaling.window_by == model::Scaling::WindowBy::policy &&
                    pool.last_active != Instant{} && pool.containers.size() == 1;
  return !kept && container.work.idle_since + scaling.scaledown_window <= now;
}

}  // namespace thaw::control
