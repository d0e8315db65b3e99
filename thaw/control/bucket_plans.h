// SPDX-License-Identifier: Apache-2.0
//
// What a worker is told of a bucket that a container mounts: where it is and by whose credentials,
// read from the environment that a secret makes. Pure.
#pragma once

#include <string>
#include <vector>

#include "thaw/model/bucket_mount.h"
#include "thaw/worker/bucket_plan.h"

namespace thaw::control {

// `env` has "NAME=value" of the bucket's own secret. invalid_argument says which names it lacks, or
// what is wrong with the endpoint.
Result<worker::BucketPlan> bucket_plan(const model::BucketMount& mount,
                                       const std::vector<std::string>& env);

}  // namespace thaw::control
