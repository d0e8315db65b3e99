// SPDX-License-Identifier: Apache-2.0
//
// Each container's part of the processors. Workspaces have equal parts of them, in each its
// functions, in each its containers; those that start have less than those that work. Only who
// works lately counts.
#pragma once

#include "thaw/control/pools.h"

namespace thaw::control {

// A tick: writes the weights that have changed.
void share_processors(const Pools& pools, Instant now);

}  // namespace thaw::control
