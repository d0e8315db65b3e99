// SPDX-License-Identifier: Apache-2.0
//
// What root inside a sandbox may still do. With ids of its own a capability reaches only files and
// processes of those ids; without, it is a real one. Each profile lists the few it keeps
// (docs/concepts/sandbox.md says why each).
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

std::uint64_t kept_capabilities(Profile profile, Ids ids);  // a bit per capability number

// Names of the capabilities that making sandboxes needs and this process lacks.
std::string missing_for_spawner();

// Takes the rest out of the bounding set for good. Needs CAP_SETPCAP.
Result<void> bound_capabilities(std::uint64_t kept);
// Sets this process's own sets to `kept` (effective and permitted; nothing inheritable or ambient).
Result<void> drop_capabilities(std::uint64_t kept);

}  // namespace thaw::sandbox::detail
