// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/share.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

namespace thaw::policy {

namespace {

// What may be held, as a multiple of what is left then.
constexpr std::size_t of_a_function = 7;
constexpr std::size_t of_a_workspace = 15;
constexpr std::size_t kept_reserve = 8;  // a part of all is left before one is only kept
constexpr Duration long_idle = 10s;

bool may_take(std::size_t held, std::size_t free, std::size_t multiple) {
  return free > 0 && (held == 0 || held + 1 <= multiple * (free - 1));
}

struct State {
  StartRequest request;
  std::size_t granted = 0;
  std::size_t for_calls() const { return request.wanted - request.to_keep; }
  bool is_for_a_call() const { return granted < for_calls(); }
};

}  // namespace

bool takes_a_place(Duration under_way, double processors) {
  constexpr Duration long_for_a_start = 5s;
  constexpr double hardly_any = 0.2;
  return under_way < long_for_a_start || processors >= hardly_any;
}

StartGrants grant_starts(const std::vector<StartRequest>& requests, const StartPlaces& places) {
  std::vector<State> states;
  std::map<std::string, std::size_t> granted_in;  // workspace
  for (const StartRequest& request : requests) {
    states.push_back({request});
    states.back().request.to_keep = std::min(request.to_keep, request.wanted);
  }
  std::size_t free = places.free;
  std::size_t starting = places.starting;
  const std::size_t reserve =
      places.most < 2 ? 0 : std::max<std::size_t>(1, places.most / kept_reserve);
  const auto has_room = [&](const State& state) {
    const StartRequest& r = state.request;
    const std::size_t of_workspace = r.held + r.held_beside + granted_in[r.workspace];
    const std::size_t held = r.held + state.granted;
    return may_take(held, free, of_a_function) &&
           (!places.is_shared || may_take(of_workspace, free, of_a_workspace)) &&
           (state.is_for_a_call() || free > reserve);
  };
  const auto has_place = [&](const State& state) {
    const StartRequest& r = state.request;
    const std::size_t of_workspace = r.starting + r.starting_beside + granted_in[r.workspace];
    const bool is_newcomer = state.is_for_a_call() && r.held + state.granted == 0;
    return may_take(is_newcomer ? 0 : std::max<std::size_t>(r.starting + state.granted, 1),
                    starting, of_a_function) &&
           (!places.is_shared || may_take(of_workspace, starting, of_a_function));
  };
  while (true) {
    State* next = nullptr;
    const auto rank = [&](const State& s) {
      const StartRequest& r = s.request;
      return std::tuple(!s.is_for_a_call(),
                        r.starting + r.starting_beside + granted_in[r.workspace],
                        r.starting + s.granted, r.demanded);
    };
    for (State& state : states) {
      if (state.granted < state.request.wanted && has_room(state) && has_place(state) &&
          (next == nullptr || rank(state) < rank(*next))) {
        next = &state;
      }
    }
    if (next == nullptr) {
      break;
    }
    ++next->granted;
    ++granted_in[next->request.workspace];
    --free;
    --starting;
  }
  StartGrants grants;
  for (const State& state : states) {
    grants.starts.push_back(state.granted);
    const bool is_short = state.is_for_a_call() && !has_room(state);
    grants.short_of.push_back(is_short ? state.for_calls() - state.granted : 0);
  }
  return grants;
}

std::size_t most_of_one_function(std::size_t most) {
  std::size_t held = 0;
  while (held < most && may_take(held, most - held, of_a_function)) {
    ++held;
  }
  return held;
}

std::vector<std::size_t> give_way(std::vector<IdleCandidate> idle, Holding asking,
                                  std::size_t count, Instant now) {
  const auto may_go = [&](const IdleCandidate& candidate) {
    const Holding& its = candidate.holding;
    const bool is_own = its.workspace == asking.workspace;
    const std::size_t has = is_own ? asking.of_function : asking.of_workspace;
    const std::size_t they_have = is_own ? its.of_function : its.of_workspace;
    const bool is_left_alone =
        candidate.why == IdleCandidate::Why::window && now - candidate.idle_since >= long_idle;
    return is_left_alone || has == 0 || has + 1 < they_have;
  };
  const auto rank = [&](std::size_t i) {
    const bool is_kept = idle[i].why == IdleCandidate::Why::kept;
    return std::tuple(is_kept, is_kept ? ~idle[i].holding.of_function : 0, idle[i].idle_since, i);
  };
  std::vector<std::size_t> left(idle.size());
  std::iota(left.begin(), left.end(), 0);
  std::vector<std::size_t> order;
  while (order.size() < count) {
    auto next = left.end();
    for (auto i = left.begin(); i != left.end(); ++i) {
      if (may_go(idle[*i]) && (next == left.end() || rank(*i) < rank(*next))) {
        next = i;
      }
    }
    if (next == left.end()) {
      break;
    }
    // Each that goes changes who has how many.
    const Holding from = idle[*next].holding;
    for (const std::size_t i : left) {
      Holding& its = idle[i].holding;
      its.of_function -= its.function == from.function ? 1 : 0;
      its.of_workspace -= its.workspace == from.workspace ? 1 : 0;
      its.of_workspace += its.workspace == asking.workspace ? 1 : 0;
    }
    ++asking.of_function;
    asking.of_workspace += from.workspace == asking.workspace ? 0 : 1;
    order.push_back(*next);
    left.erase(next);
  }
  return order;
}

}  // namespace thaw::policy
