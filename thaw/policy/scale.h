// SPDX-License-Identifier: Apache-2.0
//
// How many containers one function should have, from what can be seen of it now. Scale-out follows
// demand: what waits, divided by what a container takes at once, less what is on its way. When the
// time of a call is known, a queue of short calls starts only as many containers as would help:
// those that could finish it while one more container is still starting. While it is not known, a
// running container gets a moment to take what waits: its call may be just about to end. The moment
// is as long as a start takes: with starts of 30 ms there is little to be gained by waiting.
//
// A container is started only while one more brings throughput: what the pool's containers use of
// the processors, were each alone, must leave room for another within what the pool may have. Calls
// that wait for something else leave all of it, calls that compute fill it with as many containers
// as there are processors. Short calls are tried out instead: they tell in a tenth of a second what
// one more container brought. What is not known yet counts as a whole processor, for the fraction
// of a second that it takes to see.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/function.h"

namespace thaw::policy {

struct IdleContainer {
  Instant idle_since{};
};

// What is known of a pool's containers and the processors.
struct ProcessorView {
  double cores = 0;   // that the pool may have; 0: nothing is known, and nothing held back
  double even = 0;    // its even part of the machine's
  double demand = 0;  // that its running containers would use, were each alone on the machine
  // The same of one container while it starts, and in its first moments of work.
  std::optional<double> starting;
  std::optional<double> fresh;
  std::size_t unseen = 0;   // running containers that are too fresh to be in `demand`
  Duration start_price{};   // processor time of a start up to its first answer; 0: unknown
  bool is_settled = true;   // calls enough have ended since the last container became ready
  bool is_useless = false;  // the last containers that were added brought hardly anything
  bool is_pressed = false;  // somebody waits for a processor most of the time
  Duration stalled{};       // since a call of the pool ended or a container of it began
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
  bool better_soon = false;  // in a moment containers can be started for far less
  ProcessorView processor;
};

// What a pool may have of the processors: what its containers have now and what is idle, but at
// least its even part of all that is not spent on its calls elsewhere.
struct ProcessorShare {
  double cores = 0;        // of the machine
  double idle = 0;         // of them
  double used = 0;         // by the pool's containers
  double outside = 0;      // by what is not in a container
  double calls = 0;        // of the pool, that end in a second
  std::size_t rivals = 0;  // other pools that use or want much
};
double cores_for(const ProcessorShare& share);

struct ScalePlan {
  std::size_t start = 0;
  std::size_t start_to_keep = 0;  // of them: not for what waits, only to be there
  std::size_t stop_idle = 0;      // that many, longest idle first
};

ScalePlan plan_scale(const model::Scaling& scaling, const PoolView& view);

}  // namespace thaw::policy
