// SPDX-License-Identifier: Apache-2.0
//
// What this machine has left, for those who decide what to keep on it.
#pragma once

#include <cstdint>
#include <optional>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::worker {

struct MachineMemory {
  std::uint64_t total_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::uint64_t swap_free_bytes = 0;  // zram counts as swap
};

// All zero where it cannot be read.
MachineMemory machine_memory();

struct MachineProcessors {
  double count = 1;
  Duration busy{};
  double runnable = 0;  // threads that run or could, besides the asking one
  std::optional<Duration> queued;
  std::optional<Duration> pressed;
};

// At least 1; asked of the kernel once, which opens a file for it.
unsigned processor_count();

// See os/processors.h.
Result<MachineProcessors> machine_processors();

}  // namespace thaw::worker
