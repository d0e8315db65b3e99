// SPDX-License-Identifier: Apache-2.0
// How long the last container of a function is kept, and starts ahead of a call: the Fleet tells
// policy/ when calls came and does what it says.
#include <algorithm>

#include "thaw/base/log.h"
#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"

namespace thaw::control {

namespace {

// Calls that follow this soon are one busy time: no container goes in between.
constexpr Duration same_session = 1s;

bool is_busy(const Container& container) {
  return !container.inputs.empty() || container.proxied > 0;
}

WallTime wall_of(Instant moment) {
  return wall_now() -
         std::chrono::duration_cast<std::chrono::microseconds>(monotonic_now() - moment);
}

}  // namespace

// A call came: if nothing ran and nobody waited, a gap has ended.
void Fleet::note_arrival(Pool& pool) {
  const Instant now = monotonic_now();
  const bool waited_for = pool.demanded != Instant{};
  if (waited_for || pool.last_active == Instant{} || now - pool.last_active < same_session) {
    return;
  }
  const bool busy =
      std::any_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
        const ContainerPtr container = find(id);
        return container && is_busy(*container);
      });
  if (busy) {
    return;
  }
  FunctionUse& use = parts_.measurements.use_of(pool.function);
  use.idle.arrived(wall_of(pool.last_active), wall_now());
  use.last_active = wall_now();
  parts_.measurements.changed(pool.function);
  note_end(pool);  // the inputs that come with this one end no gap of their own
}

// A call ended; called for every one, so it does no more than remember it.
void Fleet::note_end(Pool& pool) {
  pool.last_active = monotonic_now();
  pool.look_at = pool.last_active + same_session;
}

// After a restart the gaps that were open go on.
void Fleet::resume_gaps() {
  for (const auto& [function, last_active] : parts_.measurements.known_functions()) {
    const auto record = parts_.catalog.functions.find(function.str());
    const auto live = record ? record->live() : nullptr;
    const Duration since = wall_now() - last_active;
    if (!live || live->scaling.window_by == model::Scaling::WindowBy::user || since < 0s ||
        since > options_.keep_alive.longest_idle) {
      continue;
    }
    Pool& pool = pool_of(function);
    pool.last_active = monotonic_now() - since;
    pool.look_at = monotonic_now() + same_session;
  }
}

void Fleet::plan_gap(Pool& pool, const model::FunctionSpec& live) {
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
    const ContainerPtr container = find(id);
    if (container && container->idle() && container->running) {
      memory = container->running->sandbox().memory_bytes();
      break;
    }
  }
  if (memory > 0) {
    costs.memory_gb = static_cast<double>(memory) / (1 << 30);
  }
  costs.start_time = start_time_of(pool, live);
  FunctionUse& use = parts_.measurements.use_of(pool.function);
  use.last_active = wall_of(pool.last_active);
  parts_.measurements.changed(pool.function);
  pool.plan = policy::plan_keep_alive(options_.keep_alive,
                                      policy::Outlook(use.idle, use.last_active), costs);
  pool.planned_for = pool.last_active;
}

// What a start would take now; zero: nothing is known.
Duration Fleet::start_time_of(const Pool& pool, const model::FunctionSpec& live) const {
  const policy::LevelRecords& levels = parts_.measurements.levels_of(live.version);
  const bool measured = !pool.levels.empty() && levels.of(pool.levels.front()).starts > 0;
  return measured ? policy::expected_start(levels, pool.levels) : pool.start_time;
}

// What becomes of the last container, as of now; `pool.look_at` is when that may change.
policy::PoolView::Last Fleet::keep_last(Pool& pool, const model::FunctionSpec& live,
                                        const policy::PoolView& view) {
  using Last = policy::PoolView::Last;
  pool.look_at = Instant::max();
  if (live.scaling.window_by == model::Scaling::WindowBy::user || pool.last_active == Instant{}) {
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
        ++counters_.started_ahead;
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

std::vector<FunctionView> Fleet::functions() const {
  std::vector<FunctionView> views;
  for (const auto& [id, pool] : pools_) {
    const auto record = parts_.catalog.functions.find(id.str());
    const auto live = record ? record->live() : nullptr;
    if (!live) {
      continue;
    }
    FunctionView view;
    view.spec = live;
    view.containers = pool->containers.size();
    view.levels = pool->levels;
    view.records = parts_.measurements.levels_of(live->version);
    view.start_time = start_time_of(*pool, *live);
    view.call_time = pool->call_time;
    const Instant now = monotonic_now();
    if (pool->last_active != Instant{}) {
      view.idle = now - pool->last_active;
    }
    view.plan = live->scaling.window_by == model::Scaling::WindowBy::user
                    ? policy::obey_window(live->scaling.scaledown_window)
                    : pool->plan.value_or(policy::KeepAlivePlan{});
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const auto& a, const auto& b) { return a.spec->name < b.spec->name; });
  return views;
}

}  // namespace thaw::control
