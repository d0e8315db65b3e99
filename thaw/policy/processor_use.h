// SPDX-License-Identifier: Apache-2.0
//
// How many processors something uses when it is not kept from them: what a container's calls and
// its start are made of, processor time or waiting. What it got on a busy machine says too little,
// so the time it stood in a queue for a processor is taken off: who used one second of processor
// time while two threads waited for each that ran has waited two. Later moments weigh more. A plain
// value; pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>

#include "thaw/base/time.h"

namespace thaw::policy {

// Of one container over a moment: `used` processor time in `wall`, with `queueing` threads waiting
// for each that ran. At least what it got. The queue is everybody's: who sleeps and wakes often
// makes most of it, and what it tells of this one alone is no more than that it has a thread that
// would run all the time.
inline double undisturbed_use(Duration used, Duration wall, double queueing, double cores) {
  const double got = to_seconds(used);
  const double most = std::clamp(got / std::max(to_seconds(wall), 1e-9), 1.0, cores);
  const double own = std::max(to_seconds(wall) - std::max(0.0, queueing) * got, got / most);
  return own <= 0 ? 0 : std::min(got / own, most);
}

class ProcessorUse {
 public:
  void note(double use, Duration wall) {
    const double fade = std::exp2(-to_seconds(wall) / half_life_s);
    mean_ = known_ ? mean_ * fade + use * (1 - fade) : use;
    known_ = true;
  }
  std::optional<double> mean() const { return known_ ? std::optional(mean_) : std::nullopt; }

 private:
  static constexpr double half_life_s = 0.15;
  double mean_ = 0;
  bool known_ = false;
};

}  // namespace thaw::policy
