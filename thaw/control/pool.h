// SPDX-License-Identifier: Apache-2.0
//
// Pool: the record of one target: its containers and what was learnt from them. A pinned one ends
// by its own window: what keep-alive learns is of those that follow. Kept by Pools; private to
// control.
#pragma once

#include <algorithm>
#include <csignal>
#include <list>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/control/container.h"
#include "thaw/policy/keep_alive.h"
#include "thaw/policy/pool_load.h"

namespace thaw::control {

// Inputs that one container takes at once.
inline std::size_t slots(const model::Scaling& scaling) {
  return static_cast<std::size_t>(std::max(1, scaling.max_concurrent_inputs));
}

// Of those, what is left. A program that pulls counts its inputs itself, and asks for more.
inline std::size_t free_slots(const Container& container) {
  const std::size_t used = container.work.inputs.size() + container.work.proxied;
  return slots(container.spec->scaling) - std::min(slots(container.spec->scaling), used);
}
inline bool has_room_for_inputs(const Container& container) {
  return !container.spec->push || free_slots(container) > 0;
}

// How the main program of a container is asked to end by force of no kill.
inline int interrupt_signal(const model::FunctionSpec& spec) {
  return spec.push ? spec.push->stop_signal : SIGINT;
}

struct Pool {
  explicit Pool(model::Target of) : target(std::move(of)) {}
  model::Target target;
  std::set<model::ContainerId> containers;
  std::list<Container*> parked;  // waiting for inputs, most recently used at the back
  policy::PoolLoad load;         // what its containers do with the processors
  Duration call_time{};
  Duration start_time{};
  int failures = 0;  // starts in a row that failed
  Instant last_failure{};
  Instant no_start_before{};
  std::vector<model::Level> levels;  // that the last start tried, in order
  // What the last start could have been forked from, until that is known to be there.
  std::optional<worker::ForkPlan> fork;
  // Keep-alive: the gap since the last call ended, what is planned for it, and when to look again.
  Instant last_active{};
  Instant planned_for{};
  std::optional<policy::KeepAlivePlan> plan;
  Instant look_at = Instant::max();
  Instant demanded{};       // since when demand is unmet
  bool wants_more = false;  // than it was granted to start
  std::size_t port_waiters = 0;
  std::uint64_t start_verdicts = 0;  // failed starts that those who wait were told of
  model::Outcome last_verdict;       // what they were told
  // Until `no_start_before` those who come are told the same, while this version is live.
  struct KnownFailure {
    std::string version;
    model::Outcome outcome;
  };
  std::optional<KnownFailure> known_failure;
  async::Event port_ready;
  bool stopped = false;
  // Containers that its calls have wanted within a moment: the last time, and before.
  Instant wave_began{};
  std::size_t wave = 0;
  std::size_t waves = 0;

  std::size_t wanted_at_once() const { return std::max(wave, waves); }
  // So many more were started, or taken of those that stood by.
  void note_wanted(std::size_t count, Instant now) {
    constexpr Duration moment = 1s;
    if (count > 0 && now - wave_began > moment) {
      waves = (waves + wave + 1) / 2;  // what was seldom is forgotten
      wave = 0;
      wave_began = now;
    }
    wave += count;
  }

  // What made starts fail before is over, or has changed.
  void forget_failures() {
    failures = 0;
    no_start_before = Instant{};
    known_failure.reset();
  }
};

// A running mean that follows the last dozen values.
inline void learn(Duration& mean, Duration value) {
  mean = mean == Duration::zero() ? value : (mean * 7 + value) / 8;
}

}  // namespace thaw::control
