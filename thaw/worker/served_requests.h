// SPDX-License-Identifier: Apache-2.0
//
// How many requests wait for the server of a folder that somebody serves, as the kernel counts
// them: what a container wrote has been taken when there is none, and its programs have ended.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"

namespace thaw::worker {

// `mount`: sandbox::ServedMount::mount. not_found: its server has gone.
Result<std::uint64_t> waiting_requests(const os::Fd& mount);

}  // namespace thaw::worker
