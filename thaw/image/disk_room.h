// SPDX-License-Identifier: Apache-2.0
//
// Whether the disk of the image cache has room for what registries send and containers have
// written, past what is kept for others on it. Looked at before anything is written and, of what
// strangers send, again with each `look_bytes`, since others write meanwhile. Any thread.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::image {

struct DiskSpace {
  std::uint64_t bytes = 0;
  std::uint64_t free_bytes = 0;  // for anybody
  std::uint64_t files = 0;       // 0: as many as there is room for
  std::uint64_t free_files = 0;
};

// How often who writes much looks, in bytes and in files.
inline constexpr std::uint64_t look_bytes = 64u << 20;
inline constexpr std::uint64_t look_entries = 10'000;

// resource_exhausted if less would be left after `more` bytes than is kept for others: 1 GiB, or a
// twentieth of a small disk, and a fiftieth of its files.
Result<void> check_room(const DiskSpace& disk, std::uint64_t more = 0);

// The same for the disk that an open file or folder is on.
Result<void> check_room(const os::Fd& file, std::uint64_t more = 0);

}  // namespace thaw::image
