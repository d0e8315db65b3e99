// SPDX-License-Identifier: Apache-2.0
//
// What this machine has left, for those who decide what to keep on it.
#pragma once

#include <cstdint>

namespace thaw::worker {

struct MachineMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t swap_free_bytes = 0;  // zram counts as swap
};

// All zero where it cannot be read.
MachineMemory machine_memory();

}  // namespace thaw::worker
