// SPDX-License-Identifier: Apache-2.0
//
// The system calls that a sandbox may make: an allow-list, compiled once in the spawner to the
// kernel's filter program and applied by each sandbox. What is refused says EPERM; numbers that
// are newer than this list say ENOSYS, as an old kernel would, so that C libraries fall back.
#pragma once

#include <linux/filter.h>

#include <vector>

#include "thaw/base/result.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

using SystemCallFilter = std::vector<sock_filter>;

Result<SystemCallFilter> make_filter(Profile profile, Ids ids);

// For this process and its children, for good. Needs no_new_privs or CAP_SYS_ADMIN.
Result<void> apply_filter(const SystemCallFilter& filter);

}  // namespace thaw::sandbox::detail
