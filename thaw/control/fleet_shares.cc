// SPDX-License-Identifier: Apache-2.0
// Who may start containers, who gives way, and each one's part of the processors: all functions
// that want some are looked at together, so that none takes what another is to have.
#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"
#include "thaw/worker/machine.h"

namespace thaw::control {

namespace {

struct Held {
  std::size_t containers = 0;
  std::size_t starting = 0;
};

bool takes_a_place(const Container& container, Instant now) {
  if (container.reached_ready || container.for_snapshot) {
    return false;
  }
  const bool has_begun = container.moments.launching != Instant{};
  return policy::takes_a_place(has_begun ? now - container.moments.launching : Duration::zero(),
                               container.load.got);
}

std::size_t places_to_start(const FleetOptions& options) {
  return options.max_starting > 0 ? options.max_starting
                                  : std::max<std::size_t>(8, 4 * worker::processor_count());
}

}  // namespace

std::size_t Fleet::most_of_one_function() const {
  return policy::most_of_one_function(options_.max_containers);
}

void Fleet::want_starts(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec,
                        const policy::ScalePlan& plan) {
  policy::StartRequest request;
  request.workspace = spec->workspace.str();
  request.wanted = plan.start;
  request.to_keep = plan.start_to_keep;
  request.held = pool.containers.size();
  request.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  wanted_starts_.push_back({pool.function, std::move(spec), std::move(request)});
}

void Fleet::grant_wanted_starts() {
  std::vector<WantedStart> wanted = std::exchange(wanted_starts_, {});
  // Between evaluate() and now a function may have been stopped.
  std::erase_if(wanted, [this](const WantedStart& want) {
    const auto pool = pools_.find(want.function);
    return pool == pools_.end() || pool->second->stopped || shutting_down_;
  });
  if (wanted.empty()) {
    return;
  }
  std::map<std::string, Held> of_workspace;
  std::map<std::string, Held> of_function;
  std::size_t starting = 0;
  const Instant now = monotonic_now();
  for (const auto& [id, container] : containers_) {
    const std::size_t starts = takes_a_place(*container, now) ? 1 : 0;
    for (Held* held : {&of_workspace[container->spec->workspace.str()],
                       &of_function[container->spec->id.str()]}) {
      ++held->containers;
      held->starting += starts;
    }
    starting += starts;
  }
  std::vector<policy::StartRequest> requests;
  for (WantedStart& want : wanted) {
    const Held own = of_function[want.function.str()];
    const Held all = of_workspace[want.request.workspace];
    want.request.held = own.containers;
    want.request.held_beside = all.containers - own.containers;
    want.request.starting = own.starting;
    want.request.starting_beside = all.starting - own.starting;
    requests.push_back(want.request);
  }
  policy::StartPlaces places;
  places.most = options_.max_containers;
  places.free = places.most - std::min(places.most, containers_.size());
  const std::size_t at_a_time = places_to_start(options_);
  places.starting = at_a_time - std::min(at_a_time, starting);
  places.is_shared = parts_.catalog.workspaces.all().size() > 1;
  const policy::StartGrants grants = policy::grant_starts(requests, places);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    Pool& pool = pool_of(wanted[i].function);
    for (std::size_t n = grants.starts[i]; n > 0; --n) {
      start_container(pool, wanted[i].spec);
    }
    pool.wants_more = grants.starts[i] < requests[i].wanted;
    const std::size_t held = pool.containers.size();
    const std::size_t may_hold = most_of_one_function();
    if (grants.short_of[i] > 0 && held < may_hold) {
      make_room_for(pool, *wanted[i].spec, std::min(grants.short_of[i], may_hold - held));
    }
  }
}

// Idle containers of others end, with their exit hooks; their end lets evaluate() look again.
void Fleet::make_room_for(const Pool& pool, const model::FunctionSpec& spec, std::size_t count) {
  std::vector<ContainerPtr> idle;
  std::map<std::string, std::size_t>
      left;  // by function and by workspace, if those so far are gone
  std::size_t on_their_way = 0;
  for (const auto& [id, container] : containers_) {
    const bool goes = container->stopping() || container->status == Status::stopped;
    on_their_way += goes && container->stop_reason == StopReason::made_room ? 1 : 0;
    left[container->spec->id.str()] += goes ? 0 : 1;
    left[container->spec->workspace.str()] += goes ? 0 : 1;
    if (container->idle() && !goes && !container->for_snapshot &&
        container->spec->id != pool.function &&
        pool_of(container->spec->id).demanded == Instant{}) {
      idle.push_back(container);
    }
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->idle_since < b->idle_since; });
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
    candidate.idle_since = container->idle_since;
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
    stop(*idle[chosen], StopReason::made_room, options_.stop_grace);
  }
}

// Room has come, or a place to start in: who waits is looked at again.
void Fleet::look_at_who_waits() {
  for (const auto& [function, pool] : pools_) {
    if (pool->demanded != Instant{} || pool->wants_more) {
      dirty_.insert(function);
    }
  }
  dirtied_.notify_one();
}

// Workspaces have equal parts of the processors, in each its functions, in each its containers;
// those that start have less than those that work. Only who works lately counts.
void Fleet::share_processors(Instant now) {
  constexpr double of_a_workspace = 4;  // against templates and builds, which have 1
  constexpr double of_a_start = 0.25;
  constexpr Duration lately = 2s;
  constexpr double worth_a_change = 0.2;
  constexpr std::size_t writes_at_once = 128;  // small files of the kernel's, as readings are
  const auto counts = [now, lately](const Container& container) {
    return !container.reached_ready || !container.idle() || now - container.idle_since < lately;
  };
  std::map<std::string, std::map<std::string, double>> parts;  // workspace, function
  for (const auto& [id, container] : containers_) {
    if (container->running && !container->for_snapshot && counts(*container)) {
      parts[container->spec->workspace.str()][container->spec->id.str()] +=
          container->reached_ready ? 1 : of_a_start;
    }
  }
  std::size_t writes = 0;
  for (const auto& [id, container] : containers_) {
    if (!container->running || container->for_snapshot || !counts(*container) ||
        writes == writes_at_once) {
      continue;
    }
    const auto& functions = parts[container->spec->workspace.str()];
    const double part = container->reached_ready ? 1 : of_a_start;
    const double weight = of_a_workspace * part / functions.at(container->spec->id.str()) /
                          static_cast<double>(functions.size());
    if (std::abs(weight - container->weight) > worth_a_change * container->weight) {
      container->weight = weight;
      ++writes;
      (void)container->running->sandbox().weigh(weight);  // one that has just ended has none
    }
  }
}

}  // namespace thaw::control
