// SPDX-License-Identifier: Apache-2.0
//
// What PID 1 of a sandbox with guests does besides: it starts processes that the server asks for
// over its report socket, reaps them, and says how each ended. Nobody inside can speak to it; what
// it is told comes from the server alone.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "thaw/os/fd.h"
#include "thaw/sandbox/detail/id_ranges.h"

namespace thaw::sandbox::detail {

struct GuestsHouse {
  Ids ids = Ids::of_machine;
  int niceness = 0;  // of the processes
};

// What it keeps for that, as capabilities: more than any process that it starts, so that none of
// those can look into it.
std::uint64_t hosting_powers(Ids ids);

// Until the main program has ended; returns its wait status. Without one (0), or when the server is
// gone: until the sandbox is killed. All signals are blocked.
int host_guests(const os::Fd& report, pid_t main_program, GuestsHouse house);

}  // namespace thaw::sandbox::detail
