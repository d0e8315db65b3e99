// SPDX-License-Identifier: Apache-2.0
//
// The other way for PID 1 to get its main program: from the files of a checkpoint instead of from
// an executable. What comes back has the process numbers, the capabilities and the system call
// filter that it had; its output goes to the pipes of this sandbox.
#pragma once

#include "thaw/base/result.h"
#include "thaw/sandbox/detail/criu.h"
#include "thaw/sandbox/detail/main_program.h"

namespace thaw::sandbox::detail {

// In the sandbox's root, with all capabilities and without a system call filter. Returns when the
// restored program runs, as a child of this process.
Result<MainProgram> restore_main_program(const Criu& criu, const RestoreFrom& from,
                                         Surroundings surroundings);

}  // namespace thaw::sandbox::detail
