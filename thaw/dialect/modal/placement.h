// SPDX-License-Identifier: Apache-2.0
//
// Where a function asks to run: a kind of GPU, a cloud, a region. All functions run on this
// machine, so a cloud and a region that exist change nothing; a name that nobody knows is a
// mistake, and is said when the function is made and not when its first call finds no place. Pure.
#pragma once

#include "thaw/base/result.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

// invalid_argument names the function, what it asks for, and what is known; unimplemented names
// what is not served.
Result<void> check_placement(const ::modal::client::Function& definition);

}  // namespace thaw::dialect::modal
