// SPDX-License-Identifier: Apache-2.0
//
// What is said of an end for which nobody had words: the queue's own, and those that were stored
// before failures had any. Pure.
#pragma once

#include "thaw/model/call.h"

namespace thaw::queue::detail {

// Null for a success.
model::FailurePtr untold_failure(model::OutcomeKind kind);

}  // namespace thaw::queue::detail
