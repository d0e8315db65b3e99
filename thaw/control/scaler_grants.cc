// SPDX-License-Identifier: Apache-2.0
// Who may start containers, and who gives way: all functions that want some are looked at
// together, so that none takes what another is to have.
#include <algorithm>
#include <csignal>
#include <map>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/kept_ready.h"
#include "thaw/control/scaler.h"

namespace thaw::control {

namespace {

struct Held {
  std::size_t containers = 0;
  std::size_t starting = 0;
};

bool takes_a_place(const Container& container, Instant now) {
  if (container.start.reached_ready || container.in_background()) {
    return false;
  }
  const bool has_begun = container.start.moments.launching != Instant{};
  return policy::takes_a_place(
      has_begun ? now - container.start.moments.launching : Duration::zero(),
      container.measured.load.got);
}

bool still_works(const Container& container) {
  return container.status != Status::stopped &&
         (!container.work.inputs.empty() || container.work.proxied > 0);
}

bool has_made_way(const Container& container) {
  return container.stopping() && container.ending.reason == StopReason::made_way;
}

// Where versions of a function take turns at one place: at least as long as its start took.
bool has_had_its_turn(const Container& container, Instant now) {
  constexpr Duration shortest_turn = 5s;
  const StartMoments& moments = container.start.moments;
  const Duration start_time =
      moments.launching == Instant{} ? Duration::zero() : moments.ready - moments.launching;
  return now - moments.ready >= std::max(shortest_turn, start_time);
}

std::size_t places_to_start(const ScalerOptions& options, unsigned processors) {
  return options.most_starting > 0 ? options.most_starting
                                   : std::max<std::size_t>(8, std::size_t{4} * processors);
}

}  // namespace

// For calls only: what is kept for them is warm. They take no place that was free, and start
// nothing.
std::size_t Scaler::take_standbys(Pool& pool, const model::FunctionSpec& spec,
                                  const policy::ScalePlan& plan) {
  const std::size_t for_calls = plan.start - plan.start_to_keep;
  const std::size_t may_hold = policy::most_of_one_function(options_.most);
  const std::size_t held = parts_.pools.count(pool.target.function);
  const std::size_t most = std::min(for_calls, may_hold - std::min(may_hold, held));
  const std::size_t taken = parts_.standbys.take(pool, spec, most);
  pool.note_wanted(taken, monotonic_now());
  return taken;
}

void Scaler::want_starts(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec,
                         const policy::ScalePlan& plan) {
  policy::StartRequest request;
  request.workspace = spec->workspace.str();
  request.wanted = plan.start;
  request.to_keep = plan.start_to_keep;
  request.held = pool.containers.size();
  request.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  wanted_.push_back({pool.target, std::move(spec), std::move(request)});
}

void Scaler::grant_wanted() {
  std::vector<Wanted> wanted = std::exchange(wanted_, {});
  // Between evaluate() and now a function may have been stopped.
  std::erase_if(wanted, [this](const Wanted& want) {
    const auto pool = parts_.pools.all().find(want.target);
    return pool == parts_.pools.all().end() || pool->second->stopped ||
           parts_.pools.shutting_down();
  });
  if (wanted.empty()) {
    return;
  }
  std::map<std::string, Held> of_workspace;
  std::map<std::string, Held> of_function;
  std::size_t starting = 0;
  const Instant now = monotonic_now();
  for (const auto& [id, container] : parts_.pools.containers()) {
    const std::size_t starts = takes_a_place(*container, now) ? 1 : 0;
    if (container->in_background()) {
      continue;  // it is nobody's part: it gives way
    }
    for (Held* held : {&of_workspace[container->spec->workspace.str()],
                       &of_function[container->spec->id.str()]}) {
      ++held->containers;
      held->starting += starts;
    }
    starting += starts;
  }
  std::vector<policy::StartRequest> requests;
  for (Wanted& want : wanted) {
    const Held own = of_function[want.target.function.str()];
    const Held all = of_workspace[want.request.workspace];
    want.request.held = own.containers;
    want.request.held_beside = all.containers - own.containers;
    want.request.starting = own.starting;
    want.request.starting_beside = all.starting - own.starting;
    requests.push_back(want.request);
  }
  policy::StartPlaces places;
  places.most = options_.most;
  places.free = places.most - std::min(places.most, parts_.pools.places_taken());
  const std::size_t at_a_time = places_to_start(options_, parts_.worker.processor_count());
  places.starting = at_a_time - std::min(at_a_time, starting);
  places.is_shared = parts_.catalog.workspaces.all().size() > 1;
  const policy::StartGrants grants = policy::grant_starts(requests, places);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    Pool& pool = parts_.pools.of(wanted[i].target);
    const std::size_t may_hold = policy::most_of_one_function(options_.most);
    // Another version of the function may have started some in this very round.
    std::size_t started = 0;
    while (started < grants.starts[i] && room_in_function(pool, *wanted[i].spec) > 0 &&
           parts_.pools.count(pool.target.function) < may_hold) {
      parts_.starts.start(pool, wanted[i].spec);
      ++started;
    }
    pool.note_wanted(started, now);
    pool.wants_more = started < requests[i].wanted;
    const std::size_t held = parts_.pools.count(pool.target.function);
    if (grants.short_of[i] > 0 && held < may_hold) {
      make_room_for(pool, *wanted[i].spec, std::min(grants.short_of[i], may_hold - held));
    }
  }
}

// Nobody waits for what is in the background: it goes first, at once. How many go.
std::size_t Scaler::end_background(std::size_t most) {
  std::size_t gone = 0;
  for (const auto& [id, container] : parts_.pools.containers()) {
    if (gone == most) {
      break;
    }
    if (container->in_background() && container->has_place && !container->stopping()) {
      log_info("a container in the background makes room for a call",
               {{"container", id.str()}, {"function", container->spec->name}});
      parts_.pools.stop(*container, StopReason::made_room, Duration::zero());
      if (container->stands_by && container->running) {
        (void)container->running->signal(SIGKILL);  // it has nothing to bring to an end
      }
      ++gone;
    }
  }
  return gone;
}

// Idle containers of others end, with their exit hooks; their end lets evaluate() look again.
void Scaler::make_room_for(const Pool& pool, const model::FunctionSpec& spec, std::size_t count) {
  std::vector<ContainerPtr> idle;
  std::map<std::string, std::size_t>
      left;  // by function and by workspace, if those so far are gone
  std::size_t on_their_way = 0;
  for (const auto& [id, container] : parts_.pools.containers()) {
    const bool goes = container->stopping() || container->status == Status::stopped;
    const bool gives_place = goes && container->has_place;
    on_their_way += gives_place && container->ending.reason == StopReason::made_room ? 1 : 0;
    if (container->in_background()) {
      continue;
    }
    left[container->target.str()] += goes ? 0 : 1;
    left[container->spec->workspace.str()] += goes ? 0 : 1;
    if (container->idle() && !goes && container->target != pool.target &&
        parts_.pools.of(container->target).demanded == Instant{}) {
      idle.push_back(container);
    }
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->work.idle_since < b->work.idle_since; });
  std::vector<policy::IdleCandidate> candidates;
  const std::map<std::string, std::size_t> held = left;
  const auto holding = [&held](const model::Target& target, const model::WorkspaceId& owner) {
    const auto of = [&held](const std::string& whose) {
      const auto found = held.find(whose);
      return found == held.end() ? 0 : found->second;
    };
    const std::string function = target.str();
    const std::string& workspace = owner.str();
    return policy::Holding{function, workspace, of(function), of(workspace)};
  };
  std::size_t missing = count - std::min(count, on_their_way);
  missing -= end_background(missing);
  for (const ContainerPtr& container : idle) {
    const std::string function = container->target.str();
    const std::size_t least = kept_ready(parts_.catalog, container->target);
    policy::IdleCandidate candidate;
    candidate.holding = holding(container->target, container->spec->workspace);
    candidate.idle_since = container->work.idle_since;
    candidate.why = left[function] > least ? policy::IdleCandidate::Why::window
                                           : policy::IdleCandidate::Why::kept;
    --left[function];
    candidates.push_back(candidate);
  }
  for (const std::size_t chosen : policy::give_way(candidates, holding(pool.target, spec.workspace),
                                                   missing, monotonic_now())) {
    log_info("an idle container makes room for a call of another function",
             {{"container", idle[chosen]->id.str()}, {"function", idle[chosen]->spec->name}});
    parts_.pools.stop(*idle[chosen], StopReason::made_room, parts_.pools.graces().stop);
  }
}

std::size_t Scaler::room_in_function(const Pool& pool, const model::FunctionSpec& spec) const {
  // The limit is the function's, whichever version is asked for.
  const auto live = parts_.catalog.spec_of(model::Target(pool.target.function));
  const int most = live ? live->scaling.max_containers : spec.scaling.max_containers;
  if (most <= 0) {
    return options_.most;
  }
  std::size_t held = 0;
  for (const PoolPtr& one : parts_.pools.of_function(pool.target.function)) {
    held += static_cast<std::size_t>(
        std::count_if(one->containers.begin(), one->containers.end(), [&](const auto& id) {
          const ContainerPtr container = parts_.pools.find(id);
          const bool goes = container->stopping() || container->status == Status::stopped;
          // The place of one that makes way is another version's, once it has done its work.
          return !goes || (has_made_way(*container) &&
                           (still_works(*container) || one->target == pool.target));
        }));
  }
  return static_cast<std::size_t>(most) - std::min(static_cast<std::size_t>(most), held);
}

// Where a function has as many containers as it may and a version of it that is called has none,
// one of another version ends, when it has answered what it was asked; one that works only once the
// call has waited for a moment. So no version is kept from answering by another that is never idle.
// Each has its turn first: were an idle one to go at once, a call now and then to one version would
// make each call to another a cold one.
void Scaler::make_way_for(const Pool& pool, const policy::PoolView& view) {
  constexpr Duration moment = 1s;
  if (view.waiting == 0 || view.running + view.starting > 0) {
    return;
  }
  // By its own limit, or as one function may have no more beside others.
  const bool has_room = view.capacity > 0 && parts_.pools.count(pool.target.function) <
                                                 policy::most_of_one_function(options_.most);
  if (has_room) {
    return;
  }
  const Instant now = monotonic_now();
  ContainerPtr chosen;
  std::size_t most_held = 0;
  for (const PoolPtr& other : parts_.pools.of_function(pool.target.function)) {
    if (other->target == pool.target) {
      continue;
    }
    for (const model::ContainerId& id : other->containers) {
      const ContainerPtr container = parts_.pools.find(id);
      if (has_made_way(*container) && still_works(*container)) {
        return;  // for this call, or for one that waits like it
      }
      if (container->stopping() || !container->start.reached_ready ||
          !has_had_its_turn(*container, now)) {
        continue;
      }
      const bool is_idle = container->idle();
      const bool has_idle = chosen && chosen->idle();
      const bool holds_more = other->containers.size() > most_held;
      if ((is_idle || view.waited >= moment) &&
          (!chosen || (is_idle && !has_idle) || (is_idle == has_idle && holds_more))) {
        chosen = container;
        most_held = other->containers.size();
      }
    }
  }
  if (chosen) {
    log_info("a container makes way for another version of its function",
             {{"container", chosen->id.str()}, {"function", chosen->spec->name}});
    parts_.pools.stop(*chosen, StopReason::made_way, parts_.pools.graces().stop);
    parts_.pools.looks().want(pool.target);
    parts_.pools.looks().hurry();
  }
}

}  // namespace thaw::control
