// SPDX-License-Identifier: Apache-2.0
//
// Unpacks one layer, a tar stream that is plain or compressed by gzip or zstd, into a folder as
// overlayfs wants a layer: what it deletes of the layers below (".wh.NAME") becomes a whiteout, and
// a folder that hides the one below (".wh..wh..opq") an opaque one. The stream is a stranger's:
// every path stays below the folder, whatever links the layer makes; nothing is written through a
// link; device nodes are left out; of extended attributes only capabilities and those of users are
// kept, so that none speaks to overlayfs. Modes are kept with their setuid bits: only containers
// see layers, for the folder they are in is closed to the host's users. Needs root. Blocking.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"
#include "thaw/os/fd.h"

namespace thaw::image {

// What the layers of one image may still have together.
struct UnpackBudget {
  std::atomic<std::int64_t> bytes{};
  std::atomic<std::int64_t> entries{};
};

struct UnpackLimits {
  std::uint64_t bytes = std::uint64_t{64} << 30;  // of files, holes included; and of the stream
  std::uint64_t entries = 2'000'000;
  Duration time = std::chrono::hours(1);
  std::shared_ptr<UnpackBudget> of_image = nullptr;
};

struct Unpacked {
  std::string layer_id;        // "sha256:…" of the tar stream
  std::uint64_t bytes = 0;     // of files
  std::uint64_t entries = 0;   // files, folders, links
  std::uint64_t left_out = 0;  // device nodes and sockets
};

// `folder` is there and empty; after an error it holds a part. failed_precondition: it is no layer,
// or one that leads out; resource_exhausted: a limit, or the disk but for what is kept for others
// on it; cancelled: `stop`.
Result<Unpacked> unpack_layer(const os::Fd& layer, const std::string& folder,
                              const UnpackLimits& limits, const std::atomic<bool>& stop);

// Whether a file is a tar stream of either kind that has an entry of one of these names at its top.
// What cannot be read is none.
bool has_entry(const os::Fd& file, const std::vector<std::string>& names,
               const UnpackLimits& limits, const std::atomic<bool>& stop);

}  // namespace thaw::image
