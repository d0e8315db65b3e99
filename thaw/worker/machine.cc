// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/machine.h"

#include "thaw/os/reclaim.h"

namespace thaw::worker {

MachineMemory machine_memory() {
  const auto memory = os::machine_memory();
  return memory
             ? MachineMemory{memory->total_bytes, memory->available_bytes, memory->swap_free_bytes}
             : MachineMemory{};
}

}  // namespace thaw::worker
