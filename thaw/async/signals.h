// SPDX-License-Identifier: Apache-2.0
//
// Process signals as something to await. Loop thread only.
#pragma once

#include <vector>

#include "thaw/async/task.h"

namespace thaw::async {

// The first of these signals that arrives (its number); their default action is off from then on.
Task<int> wait_for_signal(std::vector<int> numbers);

}  // namespace thaw::async
