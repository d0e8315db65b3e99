// SPDX-License-Identifier: Apache-2.0
//
// Who may have the next container, and the next place among those that start. Nobody is given the
// last ones but who has none: what one function (or workspace) may hold shrinks with what is left,
// so that a newcomer always finds some, and several greedy ones end up with equal parts. Within
// that, places go round: first to the workspace and the function with the fewest on their way, then
// to who has waited longest; calls that wait come before containers that are only kept. Where
// nothing is left, idle containers give way. Pure: equal arguments give equal answers.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "thaw/base/time.h"

namespace thaw::policy {

struct StartRequest {
  std::string workspace;
  std::size_t wanted = 0;       // containers to start; of them …
  std::size_t to_keep = 0;      // … so many only because they are to be kept, not for a call
  std::size_t held = 0;         // by the function
  std::size_t held_beside = 0;  // by other functions of the workspace
  std::size_t starting = 0;     // of the function
  std::size_t starting_beside = 0;
  Instant demanded{};
};

struct StartPlaces {
  std::size_t most = 0;      // containers of the machine
  std::size_t free = 0;      // of them
  std::size_t starting = 0;  // containers that may be on their way at a time and are not
  bool is_shared = false;    // more than one workspace exists
};

// Whether a start that has been under way for so long, and has so much of the processors lately,
// still takes one of the places: one that goes on and on and computes nothing waits for something
// of its own, a download or a sleep in an enter hook, and keeps nobody else from starting.
bool takes_a_place(Duration under_way, double processors);

// How many of each request may start now. `short_of`: that more were wanted and only containers
// of this machine were missing, for calls.
struct StartGrants {
  std::vector<std::size_t> starts;
  std::vector<std::size_t> short_of;
};
StartGrants grant_starts(const std::vector<StartRequest>& requests, const StartPlaces& places);

// The most containers that one function can have.
std::size_t most_of_one_function(std::size_t most);

// Containers of a function, and of all functions of its workspace.
struct Holding {
  std::string function;
  std::string workspace;
  std::size_t of_function = 0;
  std::size_t of_workspace = 0;
};

// An idle container, for who needs one of another function.
struct IdleCandidate {
  Holding holding;
  Instant idle_since{};
  enum class Why { window, kept } why = Why::window;  // kept: its function is to have so many
};
// Which of them give way to a function that waits for `count` more. What was used just now is about
// to be used again, as is what is kept on purpose: it goes to who would still have less, or who has
// none at all. Between workspaces it is the workspaces that have, so that many functions are worth
// no more than one.
std::vector<std::size_t> give_way(std::vector<IdleCandidate> idle, Holding asking,
                                  std::size_t count, Instant now);

}  // namespace thaw::policy
