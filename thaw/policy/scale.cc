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

// --- the processors ---

// A call costs processor time beside its container: in this server, and in a caller that may be on
// this machine. That part of the processors is not there for more containers.
constexpr double beside_a_call_s = 0.003;
constexpr Duration beside_a_start = 30ms;  // of others, likewise
constexpr double nearly_fits = 0.25;       // of a newcomer: so much less room is room enough
constexpr double overlap = 0.3;            // more than fit, of those that wait all the time
constexpr Duration short_call = 50ms;
constexpr Duration patient = 15s;  // with calls that neither end nor let others in

// Containers that the processors still have room for.
std::size_t room_in_processors(const PoolView& view) {
  const ProcessorView& p = view.processor;
  const std::size_t have = view.running + view.starting;
  if (p.cores <= 0) {
    return view.capacity;
  }
  const double start = p.starting.value_or(1);
  const double fresh = p.fresh.value_or(1);
  const double seen = static_cast<double>(view.running - std::min(view.running, p.unseen));
  const double work = std::max({fresh, seen > 0 ? p.demand / seen : 0, 0.001});
  const double newcomer = std::max(start, work);
  const double demand = p.demand + static_cast<double>(view.starting) * newcomer +
                        static_cast<double>(p.unseen) * fresh;
  // Who waits now and then leaves room: more of them are to be there than fit by the mean.
  const double cores = p.cores * (1 + overlap * std::max(0.0, 1 - work));
  const double left = cores - demand;
  double room = std::floor(left / newcomer + nearly_fits);
  // What a start takes is for a moment: where there is room for the work of another, one starts.
  if (room < 1 && view.starting == 0 && p.unseen == 0) {
    room = left / work + nearly_fits >= 1 ? 1 : 0;
  }
  // Short calls tell at once what a container brought: as many again, and then a look. What they
  // cost beside their containers is less for each when more are there, which nothing foretells:
  // while there are fewer than processors one more is tried.
  if (have > 0 && view.call_time > Duration::zero() && view.call_time < short_call) {
    const auto running = static_cast<double>(view.running);
    const bool may = p.is_settled && !p.is_useless && view.starting == 0;
    room = may ? std::clamp(room, running + 1 <= p.even ? 1.0 : 0.0, running) : 0;
  }
  const bool stalls = std::min(p.stalled, view.waited) >= patient && view.starting == 0;
  const bool liveness = have == 0 || stalls;
  return static_cast<std::size_t>(std::max(room, liveness ? 1.0 : 0.0));
}

// Where processors are short a start takes them from calls: no more than shorten the whole. With n
// containers and W calls of t the rest takes n starts and W t / n, least at a square root.
std::size_t worth_their_price(const PoolView& view, double cores) {
  const ProcessorView& p = view.processor;
  if (!p.is_pressed || p.start_price == Duration::zero() || view.call_time == Duration::zero()) {
    return view.capacity;
  }
  const double work = to_seconds(view.call_time) * static_cast<double>(view.waiting);
  const double price = to_seconds(p.start_price + beside_a_start) / std::max(cores, 1.0);
  const double best = std::sqrt(2 * work / price);
  const auto have = static_cast<double>(view.running + view.starting);
  return static_cast<std::size_t>(std::max(have == 0 ? 1.0 : 0.0, std::ceil(best) - have));
}

}  // namespace

double cores_for(const ProcessorShare& share) {
  const double beside = std::min(share.outside, beside_a_call_s * share.calls);
  const double even = (share.cores - beside) / static_cast<double>(1 + share.rivals);
  return std::min(share.cores, std::max(even, share.used + share.idle));
}

ScalePlan plan_scale(const model::Scaling& scaling, const PoolView& view) {
  ScalePlan plan;
  const std::size_t have = view.running + view.starting;
  if (!view.wanted) {
    plan.stop_idle = view.idle.size();
    return plan;
  }
  std::size_t start = wanted_for_queue(scaling, view);
  if (start > 0) {
    start =
        std::min({start, room_in_processors(view), worth_their_price(view, view.processor.cores)});
  }
  if (view.better_soon) {
    start = std::min<std::size_t>(start, have == 0 ? 1 : 0);
  }
  const std::size_t for_calls = start;
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
  plan.start_to_keep = plan.start - std::min(plan.start, for_calls);

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
