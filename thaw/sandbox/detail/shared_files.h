// SPDX-License-Identifier: Apache-2.0
//
// Files in /dev/shm: shared memory and semaphores that have a name. They are no part of what the
// sandbox wrote into its root, and a restored program finds what it has mapped by its name; so they
// are kept beside the images, and are back before it is restored. A tenant made them: only plain
// files of that folder itself, and not too many of them.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

// In the sandbox's mounts, while nothing runs there. `max_bytes` bounds each file.
// With the owners that are seen inside, where the sandbox has a range of ids.
Result<void> keep_shared_files(const os::Fd& images, std::uint64_t max_bytes, IdRange range);
Result<void> bring_back_shared_files(const os::Fd& images);

}  // namespace thaw::sandbox::detail
