// SPDX-License-Identifier: Apache-2.0
//
// VolumeListing walks a volume's tree in pieces, so that a huge one costs bounded memory: within a
// piece the names of one folder are sorted, links are listed and not entered. Folders deeper than
// a limit are listed and not entered either. Pool threads only.
#pragma once

#include <dirent.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::worker {

struct VolumeEntry {
  enum class Type { file, folder, link, fifo, socket, other };
  std::string path;  // from the volume's root, without a leading slash; bytes, not always UTF-8
  Type type = Type::other;
  std::int64_t modified_s = 0;
  std::uint64_t size = 0;
};

class VolumeListing {
 public:
  enum class Depth { one_folder, recursive };
  // `path`: a folder, whose content is listed, or anything else, which is listed alone.
  static Result<VolumeListing> open(const VolumeFolder& volume, const std::string& path,
                                    Depth depth);
  // Empty at the end. What disappears meanwhile is left out.
  Result<std::vector<VolumeEntry>> next();

 private:
  struct CloseFolder {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  struct Level {
    std::unique_ptr<DIR, CloseFolder> folder;
    std::string prefix;                // "" or "a/b/"
    std::vector<std::string> entered;  // folders of the last piece, to walk before the next piece
  };
  Result<void> enter(os::Fd folder, std::string prefix);
  void read_piece(Level& level, std::vector<VolumeEntry>& out);

  Depth depth_ = Depth::one_folder;
  std::vector<Level> levels_;
  std::vector<VolumeEntry> single_;
};

}  // namespace thaw::worker
