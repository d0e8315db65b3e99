// SPDX-License-Identifier: Apache-2.0
//
// What root inside a sandbox may still do. There is no user namespace, so a capability inside is a
// real one; each profile lists the few it keeps (docs/concepts/sandbox.md says why each).
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

std::uint64_t kept_capabilities(Profile profile);  // a bit per capability number

// Names of the capabilities that making sandboxes needs and this process lacks.
std::string missing_for_spawner();

// Takes the rest out of the bounding set for good. Needs CAP_SETPCAP.
Result<void> bound_capabilities(std::uint64_t kept);
// Sets this process's own sets to `kept` (effective and permitted; nothing inheritable or ambient).
Result<void> drop_capabilities(std::uint64_t kept);

}  // namespace thaw::sandbox::detail
