// SPDX-License-Identifier: Apache-2.0
//
// Paths inside a volume. Everything below the volume's root was written by its users, and may be
// hostile: links that point outside, folders that become links meanwhile. So a path is taken apart
// by the kernel (openat2), which never leaves the root or its file system; links are followed
// inside only, an absolute one from the volume's root. These calls block: pool threads only.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::worker {

// "/a//./b/" as "a/b", and the root as "". invalid_argument for "..", NUL bytes, or names and
// paths longer than a file system takes.
Result<std::string> volume_path(std::string_view path);

// A volume's folder on the host: "files" is what its users see; "staging" is ours, on the same
// file system, so that what was put together there is moved into place whole.
struct VolumeFolder {
  os::Fd files;
  os::Fd staging;
};
// not_found if the volume has no folder (it was deleted).
Result<VolumeFolder> open_volume(const std::string& folder);

// `path` comes from volume_path(). not_found names it.
Result<os::Fd> open_in_volume(const os::Fd& files, const std::string& path, int flags);

// The folder that holds the last name of `path`, which is not followed if it is a link.
struct Place {
  os::Fd parent;
  std::string name;
};
enum class MissingParents { fail, make };
Result<Place> place_in_volume(const os::Fd& files, const std::string& path, MissingParents missing);

// The folder `path`, made where it is missing, through no link at all.
Result<void> make_sub_folder(const os::Fd& files, const std::string& path);

}  // namespace thaw::worker
