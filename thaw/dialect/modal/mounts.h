// SPDX-License-Identifier: Apache-2.0
//
// Mounts and blobs as other parts of the dialect meet them: a mount by id, and the names of blobs
// in the payloads of calls.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

// Of the caller's workspace, or the client's own package, which is everybody's and has no files.
Result<std::shared_ptr<const model::Mount>> find_mount(Context& cx, const gateway::Identity& who,
                                                       const std::string& id);

// Adds the digests of the blobs that a payload, an input or an output of a call, refers to. It
// looks for their ids wherever they stand: one too many costs a little disk for a while. Pure.
void find_blobs(std::string_view payload, std::vector<std::string>& sha256_hex);

}  // namespace thaw::dialect::modal
