// SPDX-License-Identifier: Apache-2.0
//
// The names of blobs in the payloads of calls, for whoever looks for what refers to them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace thaw::dialect::modal {

// Adds the digests of the blobs that a payload, an input or an output of a call, refers to. It
// looks for their ids wherever they stand: one too many costs a little disk for a while. Pure.
void find_blobs(std::string_view payload, std::vector<std::string>& sha256_hex);

}  // namespace thaw::dialect::modal
