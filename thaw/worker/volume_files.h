// SPDX-License-Identifier: Apache-2.0
//
// Single files of a volume: what a download needs, and removing. A file is known by
// its identity, not only by its path, so that the blocks of one download are never of two files.
// Pool threads only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/worker/volume_paths.h"

namespace thaw::worker {

struct VolumeFile {
  std::uint64_t size = 0;
  std::string identity;  // changes when another file takes the path; letters and digits
};

// not_found; failed_precondition for what is not a file.
Result<VolumeFile> look_at_file(const VolumeFolder& volume, const std::string& path);

// For reading [offset, offset + size) of that very file. aborted if another file took its place or
// it became shorter.
struct FileRange {
  std::string path;
  std::string identity;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};
Result<os::Fd> open_range(const VolumeFolder& volume, const FileRange& range);

enum class Subtree { refuse, include };
// Gone at once for who looks, however large; then its bytes are given back.
Result<void> remove_entry(const VolumeFolder& volume, const std::string& path, Subtree subtree);

// A name in staging that nobody can guess.
std::string staged_name(std::string_view suffix);

}  // namespace thaw::worker
