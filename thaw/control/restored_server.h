// SPDX-License-Identifier: Apache-2.0
//
// What is asked of a server that was restored from a snapshot, once it is ready and before anybody
// else asks it anything. Loop thread only.
#pragma once

#include "thaw/control/pools.h"

namespace thaw::control {

// It was ready when it was written: one that is not by then, from the end of its launch on, is
// ended.
inline constexpr Duration restored_patience = 15s;

// Tells it that it was restored, if its contract says where. failed_precondition: it did not answer
// with success, and may have the same secrets as others; unavailable: it has ended.
async::Task<void> tell_restored(ContainerPtr container);

}  // namespace thaw::control
