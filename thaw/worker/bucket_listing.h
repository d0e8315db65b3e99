// SPDX-License-Identifier: Apache-2.0
//
// The request that asks for the first key of a bucket, signed: what tells before a container starts
// whether the bucket is there and its credentials are good. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/worker/bucket_plan.h"

namespace thaw::worker {

std::string listing_url(const BucketPlan& plan);
std::vector<std::pair<std::string, std::string>> listing_headers(const BucketPlan& plan,
                                                                 WallTime now);
// Where endpoints are named after regions: the same bucket in another one. false: it is nothing of
// that kind, or in that region already.
bool move_to_region(BucketPlan& plan, const std::string& region);

}  // namespace thaw::worker
