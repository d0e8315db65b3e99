// SPDX-License-Identifier: Apache-2.0
//
// What the RPCs of volumes and of network file systems do with files. `path` is from
// worker::volume_path(), and the volume was found for the asker. Loop thread only.
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/storage.pb.h"
#include "thaw/worker/volume_files.h"
#include "thaw/worker/volume_listing.h"
#include "thaw/worker/volume_upload.h"

namespace thaw::dialect::modal {

::modal::client::FileEntry wire_entry(const worker::VolumeEntry& entry);
// Its next() is for a thread of the volumes (Volumes::run_apart).
async::Task<std::shared_ptr<worker::VolumeListing>> begin_listing(
    Context& cx, model::VolumeId id, std::string path, worker::VolumeListing::Depth depth);
// Durable when it resumes; already_exists or failed_precondition: a path cannot be taken.
async::Task<void> place_uploads(Context& cx, model::VolumeId id,
                                std::vector<worker::UploadedFile> uploads,
                                worker::Existing existing);
// Durable when it resumes.
async::Task<void> remove_from_volume(Context& cx, model::VolumeId id, std::string path,
                                     worker::Subtree subtree);

}  // namespace thaw::dialect::modal
