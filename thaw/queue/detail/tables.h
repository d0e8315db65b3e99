// SPDX-License-Identifier: Apache-2.0
//
// The tables of the durable half of the queue, as steps from an empty database to today's. A step
// that was released never changes: data folders of then are opened by it.
#pragma once

#include <vector>

#include "thaw/store/database.h"

namespace thaw::queue::detail {

std::vector<store::Migration> table_steps();

}  // namespace thaw::queue::detail
