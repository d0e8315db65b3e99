// SPDX-License-Identifier: Apache-2.0
//
// VolumeCopy: files and folders of a volume copied inside it, as cp does: into `to` if it is a
// folder, else to that name; several sources need a folder. Links are copied as links; devices,
// sockets and fifos are left out; holes stay holes. It goes in steps of some tens of milliseconds:
// who copies a huge tree shares the threads of volumes with others, and can stop between two steps.
// Dropped in the middle it leaves whole files only. Pool threads only.
#pragma once

#include <dirent.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/worker/byte_copy.h"
#include "thaw/worker/volume_files.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::worker {

class VolumeCopy {
 public:
  static Result<std::shared_ptr<VolumeCopy>> begin(const VolumeFolder& volume,
                                                   std::vector<std::string> from,
                                                   const std::string& to, Subtree subtree);
  VolumeCopy(const VolumeCopy&) = delete;
  VolumeCopy& operator=(const VolumeCopy&) = delete;
  ~VolumeCopy();

  using Progress = ByteCopy::Progress;
  // Writes at most `copy_step_bytes`.
  Result<Progress> step();

 private:
  struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  struct Level {
    std::unique_ptr<DIR, CloseFolder> from;
    os::Fd to;
  };
  // A file on its way: a draft in staging that is renamed when it is whole.
  struct Draft {
    std::string name;
    os::Fd file;
    std::optional<ByteCopy> bytes;
    os::Fd folder;  // where it goes
    std::string target;
    unsigned mode = 0644;
  };

  explicit VolumeCopy(Subtree subtree) : subtree_(subtree) {}
  Result<void> next_source();
  Result<void> next_entry();
  Result<void> entry(int from_folder, int to_folder, const std::string& from,
                     const std::string& to);
  Result<void> enter(int from_folder, int to_folder, const std::string& from,
                     const std::string& to);
  Result<void> begin_file(int from_folder, int to_folder, const std::string& from,
                          const std::string& to, unsigned mode);
  Result<void> finish_file();

  VolumeFolder volume_;
  Subtree subtree_;
  std::deque<std::string> sources_;
  std::string to_;
  std::string name_;  // what a single source becomes; empty: its own name
  os::Fd into_;
  std::vector<Level> levels_;
  std::optional<Draft> draft_;
};

}  // namespace thaw::worker
