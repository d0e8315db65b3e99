// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/scale.h"

#include <algorithm>
#include <cmath>

namespace thaw::policy {

namespace {

// How long a running container may take to end its first call before another one is started.
Duration patience(const PoolView& view) {
  return view.start_time > Duration::zero() ? std::min<Duration>(50ms, view.start_time) : 50ms;
}

std::size_t count(int value) { return static_cast<std::size_t>(std::max(value, 0)); }

std::size_t inputs_per_container(const model::Scaling& scaling) {
  const int most = std::max({1, scaling.max_concurrent_inputs, scaling.batch_max_size});
  const int target = scaling.target_concurrent_inputs;
  return count(target > 0 ? std::min(target, most) : most);
}

// Containers that the waiting inputs justify beyond those that run or start.
std::size_t wanted_for_queue(const model::Scaling& scaling, const PoolView& view) {
  const std::size_t each = inputs_per_container(scaling);
  const std::size_t coming = view.free_slots + view.starting * each;
  if (view.waiting <= coming) {
    return 0;
  }
  if (view.running > 0 && view.call_time == Duration::zero() && view.waited < patience(view)) {
    return 0;
  }
  std::size_t more = (view.waiting - coming + each - 1) / each;
  if (view.call_time > Duration::zero() && view.start_time > Duration::zero() &&
      view.running + view.starting > 0) {
    const double work = to_seconds(view.call_time) * static_cast<double>(view.waiting);
    const double useful = std::ceil(work / to_seconds(view.start_time) / static_cast<double>(each));
    const double have = static_cast<double>(view.running + view.starting);
    more = std::min(more, static_cast<std::size_t>(std::max(0.0, useful - have)));
  }
  return more;
}

}  // namespace

ScalePlan plan_scale(const model::Scaling& scaling, const PoolView& view) {
  ScalePlan plan;
  const std::size_t have = view.running + view.starting;
  if (!view.wanted) {
    plan.stop_idle = view.idle.size();
    return plan;
  }
  std::size_t start = wanted_for_queue(scaling, view);
  // A buffer is only kept beside containers that work.
  const std::size_t busy = view.running - view.idle.size();
  std::size_t floor = std::max(count(scaling.min_containers),
                               busy > 0 ? busy + count(scaling.buffer_containers) : 0);
  floor = std::max<std::size_t>(floor, view.last == PoolView::Last::start ? 1 : 0);
  if (have + start < floor) {
    start = floor - have;
  }
  if (scaling.max_containers > 0) {
    const std::size_t most = count(scaling.max_containers);
    start = have >= most ? 0 : std::min(start, most - have);
  }
  plan.start = view.now < view.no_start_before ? 0 : std::min(start, view.capacity);

  if (view.waiting == 0) {
    const std::size_t spare = have > floor ? have - floor : 0;
    for (const IdleContainer& idle : view.idle) {
      const bool last = have - plan.stop_idle == 1 && view.last != PoolView::Last::by_window;
      const bool over = idle.idle_since + scaling.scaledown_window <= view.now;
      const bool go = last ? view.last == PoolView::Last::let_go : over;
      plan.stop_idle += plan.stop_idle < spare && go ? 1 : 0;
    }
  }
  return plan;
}

}  // namespace thaw::policy
