// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/function_views.h"

#include <algorithm>

namespace thaw::control {

std::vector<FunctionView> view_functions(const FunctionViewParts& parts) {
  std::vector<FunctionView> views;
  for (const auto& [target, pool] : parts.pools.all()) {
    const auto live = parts.catalog.spec_of(target);
    if (!live) {
      continue;
    }
    FunctionView view;
    view.spec = live;
    view.target = target;
    view.containers = pool->containers.size();
    view.levels = pool->levels;
    view.records = parts.measurements.levels_of(live->version);
    view.start_time = parts.keep_alive.start_time_of(*pool, *live);
    view.call_time = pool->call_time;
    const Instant now = monotonic_now();
    if (pool->last_active != Instant{}) {
      view.idle = now - pool->last_active;
    }
    const bool by_window =
        target.is_pinned() || live->scaling.window_by == model::Scaling::WindowBy::user;
    view.plan = by_window ? policy::obey_window(live->scaling.scaledown_window)
                          : pool->plan.value_or(policy::KeepAlivePlan{});
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const auto& a, const auto& b) { return a.spec->name < b.spec->name; });
  return views;
}

}  // namespace thaw::control
