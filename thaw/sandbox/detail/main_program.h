// SPDX-License-Identifier: Apache-2.0
//
// The last steps between PID 1's child and the user's program: descriptors, limits, user,
// capabilities, exec. Runs inside the sandbox's root; whatever fails here is told through a pipe
// that closes by itself when the exec succeeds.
#pragma once

#include "thaw/sandbox/detail/system_calls.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct MainProgramFds {
  int output = -1;
  int error = -1;
  int report = -1;
};

[[noreturn]] void run_main_program(const SandboxSpec& spec, const SystemCallFilter& filter,
                                   MainProgramFds fds);

}  // namespace thaw::sandbox::detail
