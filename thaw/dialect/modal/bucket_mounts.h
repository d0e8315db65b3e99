// SPDX-License-Identifier: Apache-2.0
//
// Buckets of functions and sandboxes (`modal.CloudBucketMount`), from the client's words.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>

#include <vector>

#include "thaw/base/result.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/model/bucket_mount.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// invalid_argument says what of one cannot be; unimplemented: roles that are taken by a token of
// identity. Whose its secret is, is asked later.
Result<std::vector<model::BucketMount>> bucket_mounts_from(
    const google::protobuf::RepeatedPtrField<pb::CloudBucketMount>& mounts);

}  // namespace thaw::dialect::modal
