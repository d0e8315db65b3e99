// SPDX-License-Identifier: Apache-2.0
//
// How many containers one function should have, from what can be seen of it now. Scale-out follows
// demand: what waits, divided by what a container takes at once, less what is on its way. When the
// time of a call is known, a queue of short calls starts only as many containers as would help:
// those that could finish it while one more container is still starting. While it is not known, a
// running container gets a moment to take what waits: its call may be just about to end. The moment
// is as long as a start takes: with starts of 30 ms there is little to be gained by waiting.
#pragma once

#include <cstddef>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/function.h"

namespace thaw::policy {

struct IdleContainer {
  Instant idle_since{};
};

struct PoolView {
  Instant now{};
  std::size_t waiting = 0;          // inputs (and web requests) that no container has taken
  Duration waited{};                // how long the oldest of them has waited
  std::size_t starting = 0;         // containers on their way
  std::size_t free_slots = 0;       // inputs that running containers could take at once
  std::size_t running = 0;          // containers that have started and are not stopping
  std::vector<IdleContainer> idle;  // of the running ones: those without work, longest idle first
  Duration call_time{};             // measured, typical; 0: unknown
  Duration start_time{};            // measured, typical; 0: unknown
  Instant no_start_before{};        // back-off after failed starts
  bool wanted = true;               // false: the function was stopped or replaced
  // What the keep-alive policy says of the last container, if the user named no window. The others
  // of a pool go by the window in any case.
  enum class Last {
    by_window,  // the user's window decides
    keep,       // stays, however long it was idle
    let_go,     // goes as soon as it is idle
    start,      // a call is expected: if there is none, one is started
  } last = Last::by_window;
  std::size_t capacity = 0;  // containers that this machine can still start
};

struct ScalePlan {
  std::size_t start = 0;
  std::size_t stop_idle = 0;  // that many, longest idle first
};

ScalePlan plan_scale(const model::Scaling& scaling, const PoolView& view);

}  // namespace thaw::policy
