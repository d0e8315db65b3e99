// SPDX-License-Identifier: Apache-2.0
//
// What is left of what is gone: logs of apps and images that nobody can name any more, bound
// variants of versions that were replaced, images that no function has used for long. A
// server on which something is run all day stays as large as what is on it.
#pragma once

#include "thaw/async/task.h"
#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

async::Task<void> unused_loop(Context& cx);

}  // namespace thaw::dialect::modal
