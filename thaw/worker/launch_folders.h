// SPDX-License-Identifier: Apache-2.0
//
// What a launch needs of the worker's folders, as control sees it: the volumes and the mounts of a
// container, by name. Volumes and MountLayers are this machine's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/model/app.h"
#include "thaw/model/function.h"
#include "thaw/worker/bind.h"

namespace thaw::worker {

class VolumeMounts {
 public:
  virtual ~VolumeMounts() = default;
  // What a container gets for its mounts, outer paths first. All of them are read-only while their
  // owner, or the disk, has no room: what is there can still be read and removed.
  virtual async::Task<std::vector<Bind>> binds(std::vector<model::VolumeMount> mounts) = 0;
  // resource_exhausted, saying what is there, if its owner is not to write so much more.
  virtual Result<void> check_space(const model::VolumeId& id, std::uint64_t bytes) const = 0;
};

class MountFolders {
 public:
  virtual ~MountFolders() = default;
  // Its source, once its files are laid out; invalid_argument for a path that is not absolute or
  // leaves the root, not_found for content that was never uploaded.
  virtual async::Task<std::string> source_of(std::shared_ptr<const model::Mount> mount) = 0;
};

}  // namespace thaw::worker
