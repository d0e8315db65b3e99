// SPDX-License-Identifier: Apache-2.0
// Who may start containers, and who gives way: all functions that want some are looked at
// together, so that none takes what another is to have.
#include <algorithm>
#include <map>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/scaler.h"

namespace thaw::control {

namespace {

struct Held {
  std::size_t containers = 0;
  std::size_t starting = 0;
};

bool takes_a_place(const Container& container, Instant now) {
  if (container.start.reached_ready || container.for_snapshot) {
    return false;
  }
  const bool has_begun = container.start.moments.launching != Instant{};
  return policy::takes_a_place(
      has_begun ? now - container.start.moments.launching : Duration::zero(),
      container.measured.load.got);
}

std::size_t places_to_start(const ScalerOptions& options, unsigned processors) {
  return options.most_starting > 0 ? options.most_starting
                                   : std::max<std::size_t>(8, 4 * processors);
}

}  // namespace

void Scaler::want_starts(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec,
                         const policy::ScalePlan& plan) {
  policy::StartRequest request;
  request.workspace = spec->workspace.str();
  request.wanted = plan.start;
  request.to_keep = plan.start_to_keep;
  request.held = pool.containers.size();
  request.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  wanted_.push_back({pool.function, std::move(spec), std::move(request)});
}

void Scaler::grant_wanted() {
  std::vector<Wanted> wanted = std::exchange(wanted_, {});
  // Between evaluate() and now a function may have been stopped.
  std::erase_if(wanted, [this](const Wanted& want) {
    const auto pool = parts_.pools.all().find(want.function);
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
    for (Held* held : {&of_workspace[container->spec->workspace.str()],
                       &of_function[container->spec->id.str()]}) {
      ++held->containers;
      held->starting += starts;
    }
    starting += starts;
  }
  std::vector<policy::StartRequest> requests;
  for (Wanted& want : wanted) {
    const Held own = of_function[want.function.str()];
    const Held all = of_workspace[want.request.workspace];
    want.request.held = own.containers;
    want.request.held_beside = all.containers - own.containers;
    want.request.starting = own.starting;
    want.request.starting_beside = all.starting - own.starting;
    requests.push_back(want.request);
  }
  policy::StartPlaces places;
  places.most = options_.most;
  places.free = places.most - std::min(places.most, parts_.pools.containers().size());
  const std::size_t at_a_time = places_to_start(options_, parts_.worker.processor_count());
  places.starting = at_a_time - std::min(at_a_time, starting);
  places.is_shared = parts_.catalog.workspaces.all().size() > 1;
  const policy::StartGrants grants = policy::grant_starts(requests, places);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    Pool& pool = parts_.pools.of(wanted[i].function);
    for (std::size_t n = grants.starts[i]; n > 0; --n) {
      parts_.starts.start(pool, wanted[i].spec);
    }
    pool.wants_more = grants.starts[i] < requests[i].wanted;
    const std::size_t held = pool.containers.size();
    const std::size_t may_hold = policy::most_of_one_function(options_.most);
    if (grants.short_of[i] > 0 && held < may_hold) {
      make_room_for(pool, *wanted[i].spec, std::min(grants.short_of[i], may_hold - held));
    }
  }
}

// Idle containers of others end, with their exit hooks; their end lets evaluate() look again.
void Scaler::make_room_for(const Pool& pool, const model::FunctionSpec& spec, std::size_t count) {
  std::vector<ContainerPtr> idle;
  std::map<std::string, std::size_t>
      left;  // by function and by workspace, if those so far are gone
  std::size_t on_their_way = 0;
  for (const auto& [id, container] : parts_.pools.containers()) {
    const bool goes = container->stopping() || container->status == Status::stopped;
    on_their_way += goes && container->ending.reason == StopReason::made_room ? 1 : 0;
    left[container->spec->id.str()] += goes ? 0 : 1;
    left[container->spec->workspace.str()] += goes ? 0 : 1;
    if (container->idle() && !goes && !container->for_snapshot &&
        container->spec->id != pool.function &&
        parts_.pools.of(container->spec->id).demanded == Instant{}) {
      idle.push_back(container);
    }
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->work.idle_since < b->work.idle_since; });
  std::vector<policy::IdleCandidate> candidates;
  const std::map<std::string, std::size_t> held = left;
  const auto holding = [&held](const model::FunctionSpec& spec) {
    const auto of = [&held](const std::string& whose) {
      const auto found = held.find(whose);
      return found == held.end() ? 0 : found->second;
    };
    const std::string function = spec.id.str();
    const std::string workspace = spec.workspace.str();
    return policy::Holding{function, workspace, of(function), of(workspace)};
  };
  for (const ContainerPtr& container : idle) {
    const std::string function = container->spec->id.str();
    const auto least =
        static_cast<std::size_t>(std::max(0, container->spec->scaling.min_containers));
    policy::IdleCandidate candidate;
    candidate.holding = holding(*container->spec);
    candidate.idle_since = container->work.idle_since;
    candidate.why = left[function] > least ? policy::IdleCandidate::Why::window
                                           : policy::IdleCandidate::Why::kept;
    --left[function];
    candidates.push_back(candidate);
  }
  const std::size_t missing = count - std::min(count, on_their_way);
  for (const std::size_t chosen :
       policy::give_way(candidates, holding(spec), missing, monotonic_now())) {
    log_info("an idle container makes room for a call of another function",
             {{"container", idle[chosen]->id.str()}, {"function", idle[chosen]->spec->name}});
    parts_.pools.stop(*idle[chosen], StopReason::made_room, parts_.pools.graces().stop);
  }
}

}  // namespace thaw::control
