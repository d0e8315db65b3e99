// SPDX-License-Identifier: Apache-2.0
//
// A launch plan as bytes, for a worker that is another process or another machine. CBOR by names: a
// field that the reader does not know is passed over, one that is missing has its usual value. Not
// encrypted: plans hold secrets. Pure.
#pragma once

#include <string>

#include "thaw/base/result.h"
#include "thaw/worker/launch_plan.h"

namespace thaw::worker {

// tidy(unused): it holds the boundary of the worker to what can be a message
std::string write_plan(const LaunchPlan& plan);
// invalid_argument names what cannot be read.
// tidy(unused): as above
Result<LaunchPlan> read_plan(const std::string& bytes);

}  // namespace thaw::worker
