// SPDX-License-Identifier: Apache-2.0
//
// What RUN --mount shows a step: each mount becomes a file or folder of its own on the host, which
// goes with the draft. Files are copies, so that nothing a step does reaches the context, another
// image or the next step. Blocking.
#pragma once

#include <string>
#include <vector>

#include "thaw/image/copy_files.h"
#include "thaw/image/plan.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::image {

struct MountSources {
  std::vector<std::vector<std::string>> layers;  // for each mount, of the image it reads
  BlobPaths blobs;                               // of the context's files
  std::vector<std::string> secret_env;           // "NAME=value"
};

struct PreparedMounts {
  std::vector<sandbox::BindMount> binds;
  std::vector<std::string> env;  // "NAME=value"
};

// Below `folder`, which is made. failed_precondition names what a mount lacks.
Result<PreparedMounts> prepare_mounts(const std::vector<RunMount>& mounts,
                                      const MountSources& sources, const std::string& folder);

}  // namespace thaw::image
