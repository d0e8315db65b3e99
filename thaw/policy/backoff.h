// SPDX-License-Identifier: Apache-2.0
//
// The pause before the n-th try after n failures in a row: initial · 2^(n-1), at most `most`.
#pragma once

#include <algorithm>

#include "thaw/base/time.h"

namespace thaw::policy {

inline Duration backoff(int failures, Duration initial, Duration most) {
  if (failures <= 0) {
    return Duration::zero();
  }
  return std::min(most, initial * (std::int64_t{1} << std::min(failures - 1, 20)));
}

}  // namespace thaw::policy
