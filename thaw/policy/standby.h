// SPDX-License-Identifier: Apache-2.0
//
// How many containers stand by: restored from a snapshot ahead of a call and frozen before anybody
// has had them. Each costs what it holds in memory, so they are few: a share of the machine's
// memory and of its places, a share of that for each workspace, some for each function that was
// called of late, as many as its calls have wanted at once. Who was called last comes first. None
// where memory is short or not known. Pure: equal arguments give equal answers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/time.h"

namespace thaw::policy {

// A version that can be restored.
struct StandbyCandidate {
  std::string workspace;
  std::string function;
  Instant last_called{};    // zero: never, as far as is known
  std::size_t at_once = 1;  // containers that its calls have wanted at a time, of late
  std::uint64_t bytes = 0;  // that one which stands by holds; 0: not known yet
  std::size_t room = 0;     // containers that its function may have besides those that serve
  std::size_t have = 0;     // that stand by, or are on their way to
};

// What the owner of the machine sets.
struct StandbyRules {
  Duration unused = 15min;  // after a version's last call; 0: none at all
  std::uint64_t bytes_of_one = std::uint64_t{64} << 20;  // a container that holds more does not
};

struct StandbyMachine {
  Instant now{};
  std::uint64_t memory_bytes = 0;     // of the machine; 0: not known
  std::uint64_t available_bytes = 0;  // of them
  std::size_t most = 0;               // containers
  std::size_t serving = 0;            // of them, and others that are not standing by
  bool is_shared = false;             // more than one workspace exists
};

// Others want it: none stand by, from this moment on.
bool is_memory_wanted(const StandbyMachine& machine);

// How many of each candidate are to stand by.
std::vector<std::size_t> plan_standbys(const std::vector<StandbyCandidate>& candidates,
                                       const StandbyRules& rules, const StandbyMachine& machine);

}  // namespace thaw::policy
