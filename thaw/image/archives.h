// SPDX-License-Identifier: Apache-2.0
//
// ADD of archives: which of a step's files are archives, by their content as Docker has it, and the
// step that unpacks one. That runs inside the image, as a RUN does: what is in an archive is a
// stranger's, and is read by the image's own programs and not by this server.
#pragma once

#include <string>
#include <vector>

#include "thaw/image/copy_files.h"
#include "thaw/image/plan.h"

namespace thaw::image {

// Where the step finds the archive.
inline constexpr const char* archive_path = "/run/thaw-build-archive";

struct Archive {
  std::string file;  // on the host
  std::string name;
  std::string tool;  // that reads it: "gzip", "bzip2", "xz", "zstd"; "tar": it
                     // is not compressed
};

// What the first 512 bytes of a file say: the tool, or empty for no archive.
std::string archive_tool(std::string_view head);
// Takes those of the step's files that may be archives out of it. Blocking. unimplemented: the step
// has an owner or a mode for what is in one.
Result<std::vector<Archive>> take_archives(CopyStep& step, const BlobPaths& blobs);
RunStep unpack_step(const Archive& archive, const std::string& destination);

}  // namespace thaw::image
