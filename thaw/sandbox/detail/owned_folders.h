// SPDX-License-Identifier: Apache-2.0
//
// Folders of the host as an overlay in a sandbox is to have them: with the ids of its range for
// those that are on disk. Layers lie side by side, so one mount serves all of them, which costs
// half as much as one for each.
#pragma once

#include <map>
#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/root_folder.h"

namespace thaw::sandbox::detail {

class OwnedFolders {
 public:
  explicit OwnedFolders(RootOwner owner) : owner_(owner) {}

  // Without a range: the folder itself.
  Result<os::Fd> open(const std::string& path);
  // Below `top`, in this mount namespace: kernels before 6.15 take as layers only what is mounted.
  Result<void> attach(const os::Fd& top);

 private:
  Result<const os::Fd*> mount_of(const std::string& path);

  RootOwner owner_;
  std::map<std::string, os::Fd> mounts_;
};

}  // namespace thaw::sandbox::detail
