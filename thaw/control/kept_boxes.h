// SPDX-License-Identifier: Apache-2.0
//
// What becomes of the record of a box that has ended while no server was there.
#pragma once

#include "thaw/model/box.h"

namespace thaw::control {

// Its time limit was reached meanwhile, and who kept it has ended it.
bool was_due_without_server(const model::Box& box);
model::Box timed_out_without_server(model::Box box);

}  // namespace thaw::control
