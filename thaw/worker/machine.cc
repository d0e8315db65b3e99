// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/machine.h"

#include <algorithm>
#include <thread>

#include "thaw/os/processors.h"
#include "thaw/os/reclaim.h"

namespace thaw::worker {

MachineMemory machine_memory() {
  const auto memory = os::machine_memory();
  return memory
             ? MachineMemory{memory->total_bytes, memory->available_bytes, memory->swap_free_bytes}
             : MachineMemory{};
}

unsigned processor_count() {
  static const unsigned count = std::max(1U, std::thread::hardware_concurrency());
  return count;
}

Result<MachineProcessors> machine_processors() {
  THAW_TRY(const os::ProcessorTimes times, os::processor_times());
  MachineProcessors processors;
  processors.count = processor_count();
  processors.busy = times.busy;
  processors.runnable = std::max(0, times.runnable - 1);
  processors.queued = times.queued;
  processors.pressed = times.pressed;
  return processors;
}

}  // namespace thaw::worker
