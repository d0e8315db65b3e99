// SPDX-License-Identifier: Apache-2.0
//
// What holds of all containers and pools whenever no part of control is in the middle of
// something, that is, whenever another task of the loop has its turn. For tests and simulations,
// which ask again and again: a broken sentence is found where it breaks, not where it hurts.
#pragma once

#include <string>
#include <vector>

#include "thaw/control/pools.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

// One sentence for each that is broken; empty: all hold.
std::vector<std::string> check_invariants(const Pools& pools, const queue::CallQueue& queue);

}  // namespace thaw::control
