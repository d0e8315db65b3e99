// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/flood_guard.h"

#include <algorithm>

namespace thaw::net::detail {

bool FloodGuard::allow(Instant now, double count) {
  left_ = std::min(burst_, left_ + rate_ * to_seconds(now - last_));
  last_ = now;
  left_ -= count;
  return left_ >= 0;
}

}  // namespace thaw::net::detail
