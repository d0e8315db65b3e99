// SPDX-License-Identifier: Apache-2.0
//
// TreeUse: how much disk a tree of hostile files takes (blocks, so that a hole costs nothing), by a
// walk in steps of some milliseconds. It never follows a link and never leaves the file system; a
// file with several names counts by parts. Pool threads only.
#pragma once

#include <dirent.h>
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/worker/byte_copy.h"

namespace thaw::worker {

class TreeUse {
 public:
  // A folder that is gone takes nothing.
  explicit TreeUse(const std::string& folder);

  using Progress = ByteCopy::Progress;
  Progress step();
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t entries() const { return entries_; }
  // Parts of the tree were so deep, in so many places, that they were not looked at.
  bool is_incomplete() const { return is_incomplete_; }

 private:
  struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  using Folder = std::unique_ptr<DIR, CloseFolder>;
  void enter(os::Fd folder);
  void look_at(int folder, const char* name);

  dev_t device_ = 0;
  std::vector<Folder> levels_;
  std::deque<os::Fd> later_;  // deep folders, walked once the levels above are done
  std::uint64_t bytes_ = 0;
  std::uint64_t entries_ = 0;
  bool is_incomplete_ = false;
};

}  // namespace thaw::worker
