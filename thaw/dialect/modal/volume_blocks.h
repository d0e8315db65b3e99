// SPDX-License-Identifier: Apache-2.0
//
// The blocks of volumes' files by HTTP, as blob_gate.h does it for blobs: a URL is signed for one
// operation on one block until a time, and whoever holds it needs nothing else. What is in the URL
// is the server's own word, since its signature covers all of it.
#pragma once

#include <string>

#include "thaw/dialect/modal/context.h"
#include "thaw/worker/volume_files.h"

namespace thaw::dialect::modal {

// For PUT of the block `name` (worker::new_block_name) of at most `most_bytes`; the body of the
// answer is what the client has to hand in: the name.
std::string block_put_url(Context& cx, const gateway::BaseUrl& base, const model::VolumeId& volume,
                          const std::string& name, std::uint64_t most_bytes);
std::string block_get_url(Context& cx, const gateway::BaseUrl& base, const model::VolumeId& volume,
                          const worker::FileRange& range);

// Serves /volumes/….
async::Task<void> serve_volume_block(Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::modal
