// SPDX-License-Identifier: Apache-2.0
//
// Mounts as descriptors: a file system is made (fsopen), configured and becomes a detached mount
// that is then attached somewhere. Detached mounts need no path on the host, so nothing of the
// host shows through and an abandoned one vanishes with its descriptor.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::os {

struct OverlayOptions {
  std::vector<Fd> layers;  // folders, lowest first
  Fd upper;                // folders on one file system
  Fd work;
  bool is_volatile = false;  // the upper is thrown away: skip every sync
  // A folder that the mount may pass through: kernels before 6.5 cannot make it detached.
  std::string staging;
  std::uint64_t attributes = 0;
};

using MountOptions = std::vector<std::pair<std::string, std::string>>;  // empty value: a flag

// A new instance of `type` as a detached mount with MOUNT_ATTR_… attributes.
Result<Fd> make_mount(std::string_view type, const MountOptions& options, std::uint64_t attributes);
// Layers go in by descriptor: neither their count nor the characters of their names matter, and
// the mount table inside does not tell where they are.
Result<Fd> make_overlay(const OverlayOptions& options);
// A detached copy of the mount at `path` (relative to `folder`, AT_FDCWD for absolute; an empty
// path is `folder` itself), without the mounts below it.
Result<Fd> copy_mount(int folder, const std::string& path);
Result<void> set_mount_attributes(const Fd& mount, std::uint64_t attributes);
// The same for a copy that is attached nowhere yet, and ids on disk show as `user_namespace` maps
// them: 0 on disk is its root's. failed_precondition, saying so, where the file system cannot.
Result<void> map_ids(const Fd& mount, const Fd& user_namespace, std::uint64_t attributes);
// Puts a detached mount on `target`, itself opened as O_PATH.
Result<void> attach_mount(const Fd& mount, const Fd& target);

}  // namespace thaw::os
