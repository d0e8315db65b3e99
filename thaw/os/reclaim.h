// SPDX-License-Identifier: Apache-2.0
//
// Memory of others: how much the machine has left, and how to move what a process does not use now
// out of it. Private memory can go to swap or zram only; what is mapped from files can be dropped.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"

namespace thaw::os {

struct MachineMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;  // what can be had without swapping
  std::uint64_t swap_free_bytes = 0;  // swap files and devices, zram among them
};

// From /proc/meminfo.
Result<MachineMemory> machine_memory();

// Asks the kernel to page out all that this process has mapped (process_madvise); bytes advised.
Result<std::uint64_t> page_out(int pid);

}  // namespace thaw::os
