// SPDX-License-Identifier: Apache-2.0
//
// Whether the next output of a map comes so soon that the one before waits for it, so that both go
// in one answer: each answer costs the caller more than all of the call. The last ones do not wait,
// for what will not come. Pure.
#pragma once

#include <algorithm>
#include <cstddef>

#include "thaw/base/time.h"

namespace thaw::dialect::modal {

struct OutputPace {
  int unfinished = 0;      // inputs of the map
  std::size_t ready = 0;   // of the function: they wait for a container
  std::size_t leased = 0;  // are in one
  Duration call_time{};    // typical; 0: unknown
};

// `linger` is the most that an output waits.
inline bool comes_soon(const OutputPace& pace, Duration linger) {
  constexpr int last_outputs = 8;
  // A container that has just put an output has none, and takes what is ready in a moment.
  const std::size_t at_work = pace.leased + std::min<std::size_t>(pace.ready, 1);
  return pace.unfinished >= last_outputs && at_work > 0 && pace.call_time > Duration::zero() &&
         pace.call_time / static_cast<std::int64_t>(at_work) <= linger / 2;
}

}  // namespace thaw::dialect::modal
