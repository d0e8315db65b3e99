// SPDX-License-Identifier: Apache-2.0
//
// The kit of Python, 3.9 or newer: fork_program.py imports modules and forks; thaw_restore.py
// renews random numbers after a restore, and thaw_server_start.py gets it into a server that knows
// nothing of it. A value: any thread.
#pragma once

#include "thaw/worker/kit.h"

namespace thaw::worker::kits {

Kit python();

}  // namespace thaw::worker::kits
