// SPDX-License-Identifier: Apache-2.0
//
// A folder of a sandbox whose files a program outside serves: a FUSE file system that is attached
// inside and has no path on the host, so that nothing of it is left when its descriptors and the
// sandbox are gone. It is mounted in the sandbox's user namespace. The kernel lets only processes
// of that namespace into it, whose requests a hostile server could leave unanswered for ever.
#pragma once

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/root_folder.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

// By who builds a root, before the host's files are out of sight. `target` is opened as O_PATH.
// failed_precondition where the machine has no FUSE.
Result<void> serve_folder(const ServedFolder& folder, const os::Fd& target, RootOwner owner,
                          const os::Fd& report);

}  // namespace thaw::sandbox::detail
