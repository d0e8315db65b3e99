// SPDX-License-Identifier: Apache-2.0
//
// The last steps between PID 1's child and the user's program: descriptors, limits, user,
// capabilities, exec (PID 1's system call filter is inherited). The child borrows PID 1's memory
// until the exec, as after vfork: no page is copied, and what went wrong is simply there when PID 1
// goes on.
#pragma once

#include <sys/types.h>

#include "thaw/sandbox/detail/id_ranges.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::sandbox::detail {

struct MainProgram {
  pid_t pid = 0;
  Instant started{};  // just before the exec
};

struct Surroundings {
  int output = -1;  // descriptors
  int error = -1;
  int niceness = 0;  // the server's; the spawner's own is another
  int input = -1;    // -1: /dev/null
  Ids ids = Ids::of_machine;
  enum class Input { stream, terminal } input_is = Input::stream;  // terminal: its own to control
};

// Returns when the program has been exec'd, or could not be.
// Before powers over the machine are given up: its limits, which could not be raised later.
Result<void> set_limits();

Result<MainProgram> start_main_program(const SandboxSpec& spec, Surroundings surroundings);

}  // namespace thaw::sandbox::detail
