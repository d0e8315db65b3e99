// SPDX-License-Identifier: Apache-2.0
//
// MountLayers: each mount becomes one read-only folder, DATA/mounts/<checksum>, made once from the
// blob store and then used as an overlay layer by every container that has the mount.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/model/app.h"
#include "thaw/store/blob_store.h"

namespace thaw::worker {

// The digest of a mount's files: paths, contents, modes.
std::string mount_checksum(const std::vector<model::MountFile>& files);

class MountLayers {
 public:
  MountLayers(async::Pool& pool, store::BlobStore& blobs, std::string folder);

  // The folder; invalid_argument for a path that is not absolute or leaves the root, not_found
  // for content that was never uploaded.
  async::Task<std::string> folder_of(std::shared_ptr<const model::Mount> mount);

 private:
  async::Pool& pool_;
  store::BlobStore& blobs_;
  std::string folder_;
  std::set<std::string> building_;
  async::Event built_;
};

}  // namespace thaw::worker
