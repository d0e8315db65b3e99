// SPDX-License-Identifier: Apache-2.0
//
// What a server's Python gets, if it is to become a memory snapshot, so that its random numbers are
// not the same in all restores: a module that the interpreter imports by itself, which waits for
// the signal of a restore and renews the generators then (tools/container/thaw_restore.py). Only in
// the container's main program; in anything else than Python it does nothing.
#pragma once

#include "thaw/worker/worker.h"

namespace thaw::worker {

void add_python_renewal(LaunchPlan& plan);

}  // namespace thaw::worker
