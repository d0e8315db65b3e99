// SPDX-License-Identifier: Apache-2.0
//
// ProcessorLoad: what containers do with the processors, for policy/. Counters of the kernel are
// read while calls wait for a container, and only then: an idle server reads nothing. Loop thread
// only.
#pragma once

#include <optional>
#include <unordered_map>

#include "thaw/control/pools.h"
#include "thaw/policy/machine_load.h"
#include "thaw/policy/scale.h"

namespace thaw::control {

class ProcessorLoad {
 public:
  ProcessorLoad(Pools& pools, worker::Worker& worker) : pools_(pools), worker_(worker) {}

  // The first reading of a busy time is the beginning of its first moment.
  void expect(Instant now);
  // A tick.
  void note(Instant now);
  // Of those whose end would be an attempt of a call: what an idle one ends by is nobody's loss.
  void note_survivals(Instant now);
  void note_ready(Pool& pool, Container& container);
  // It has stood by and is the pool's now: its start was nobody's.
  void note_joined(Pool& pool, Container& container);
  // Its start and its first call, which often does what a start did not.
  static void note_first_answer(Pool& pool, Container& container);
  // What a decision about this pool has to know of the processors.
  policy::ProcessorView view_for(Pool& pool, const policy::PoolView& view);

 private:
  void note_machine(Instant now);
  policy::MachineView machine_view(Instant now) const;

  Pools& pools_;
  worker::Worker& worker_;
  std::optional<policy::MachineLoad> machine_load_;
  Instant machine_noted_{};
  // Functions that use, or want, a good part of a processor, and how much.
  std::unordered_map<model::Target, double> busy_pools_;
};

}  // namespace thaw::control
