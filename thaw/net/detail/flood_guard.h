// SPDX-License-Identifier: Apache-2.0
//
// FloodGuard: how often a peer may do what costs it nothing. A plain value.
#pragma once

#include "thaw/base/time.h"

namespace thaw::net::detail {

// A rate with a burst; counts frames that cost the peer nothing.
class FloodGuard {
 public:
  FloodGuard(double burst, double per_second) : burst_(burst), rate_(per_second), left_(burst) {}
  // False when the peer has used up its allowance.
  bool allow(Instant now, double count = 1);

 private:
  double burst_;
  double rate_;
  double left_;
  Instant last_{};
};

}  // namespace thaw::net::detail
