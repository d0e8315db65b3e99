// SPDX-License-Identifier: Apache-2.0
//
// MountLayers: each mount becomes one read-only folder, DATA/mounts/<checksum>, made once from the
// blob store and then used as an overlay layer by every container that has the mount. Its files are
// the blobs themselves (hard links) where their modes allow it: the bytes are on disk once.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>

#include "thaw/async/blocking.h"
#include "thaw/async/event.h"
#include "thaw/model/app.h"
#include "thaw/store/blob_store.h"
#include "thaw/worker/launch_folders.h"

namespace thaw::worker {

// The digest of a mount's files: paths, contents, modes.
std::string mount_checksum(const std::vector<model::MountFile>& files);

class MountLayers final : public MountFolders {
 public:
  MountLayers(async::Pool& pool, store::BlobStore& blobs, std::string folder);

  async::Task<std::string> source_of(std::shared_ptr<const model::Mount> mount) override;
  // The host folder, made if it is missing.
  async::Task<std::string> folder_of(std::shared_ptr<const model::Mount> mount);
  // Removes the folders whose checksums are not wanted (asked for each when its turn comes), and
  // what a killed server left half made. A container that runs uses the folders of its mounts:
  // theirs must be wanted.
  using IsWanted = std::function<bool(const std::string& checksum)>;
  async::Task<void> keep_only(IsWanted is_wanted);

 private:
  async::Pool& pool_;
  store::BlobStore& blobs_;
  std::string folder_;
  std::set<std::string> building_;
  async::Event built_;
};

}  // namespace thaw::worker
