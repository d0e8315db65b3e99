// SPDX-License-Identifier: Apache-2.0
//
// Volumes as the Modal client sees them: by name in an environment, or without a name for as long
// as a client says that it needs them. Files are in volume_files.cc and volume_blocks.h; where they
// are kept is worker/volumes.h.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/storage.pb.h"

namespace thaw::dialect::modal {

// A container has each of its volumes here too, by id: the client looks for open files there.
inline constexpr std::string_view volume_folder = "/__modal/volumes/";

// Of the caller's workspace and not deleted.
Result<std::shared_ptr<const model::Volume>> find_volume(Context& cx, const gateway::Identity& who,
                                                         const std::string& id);
::modal::client::VolumeMetadata volume_metadata(const model::Volume& volume);

// Ends ephemeral volumes whose client is gone and goes on with deletions, also those of before a
// restart.
async::Task<void> volume_loop(Context& cx);

}  // namespace thaw::dialect::modal
