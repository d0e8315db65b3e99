// SPDX-License-Identifier: Apache-2.0
//
// How a spawner process comes to be: this very program is run anew and told over its control
// socket what it is for. So one can be started at any time, by a server of any size and with any
// number of threads, and has nothing of its memory.
#pragma once

#include "thaw/base/result.h"
#include "thaw/os/fd.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct LaunchedSpawner {
  int pid = 0;
  os::Fd process;  // pidfd
  os::Fd control;
};

enum class Succession {
  first,
  next,  // the last one was killed: what it had is removed first
};

// `lock` and `membership` are held by the process as well, so that nobody takes the folder or the
// instance's name while it removes what its server has left.
Result<LaunchedSpawner> launch_spawner(const SpawnerOptions& options, Succession succession,
                                       const os::Fd& lock, const os::Fd& membership,
                                       const std::string& key);

}  // namespace thaw::sandbox::detail
