// SPDX-License-Identifier: Apache-2.0
//
// Writes the main program of a sandbox and all its descendants into a folder of the host. Done by
// a child of the spawner that enters the sandbox's namespaces, so that mounts and network are no
// part of what is written: a restore finds its own. PID 1 is ours and is not written either. The
// sandbox is frozen when this begins: CRIU takes hold of every process of its cgroup, those that it
// does not write too, before it thaws it, and freezes it again before it lets go. So nothing of the
// tenant runs beside what is privileged here. What
// would be missing after a restore (daemons, message queues, System V objects) is refused; plain
// files of /dev/shm are kept beside it.
#pragma once

#include <cstdint>
#include <string>

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

// `first` is the pidfd of the sandbox's PID 1; `criu.freezer` its freezer. This process stays in
// the namespaces.
Result<void> write_checkpoint(Criu& criu, const os::Fd& first, const std::string& images,
                              std::uint64_t max_file_bytes, IdRange range);

}  // namespace thaw::sandbox::detail
