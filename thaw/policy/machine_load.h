// SPDX-License-Identifier: Apache-2.0
//
// What the processors of this machine do, from the kernel's counters as they were at some moments:
// how much is idle, how much is used outside of containers, and how many threads wait for each that
// runs. The last third of a second weighs half. What was seen too long ago says nothing. A plain
// value; pure.
#pragma once

#include <optional>

#include "thaw/base/time.h"

namespace thaw::policy {

struct MachineSample {
  Instant at{};
  Duration busy{};        // of all processors, since some beginning
  Duration containers{};  // of it, in containers
  double runnable = 0;    // threads that run or could, at this moment
  // Counters that not every kernel has: time that threads stood in a queue for a processor, and
  // time in which at least one did.
  std::optional<Duration> queued;
  std::optional<Duration> pressed;
};

struct MachineView {
  double cores = 0;     // 0: nothing is known
  double idle = 0;      // of them
  double outside = 0;   // used by what is not in a container: this server, callers, others
  double queueing = 0;  // threads that wait for each that runs
  double pressure = 0;  // share of the time in which somebody waited
};

class MachineLoad {
 public:
  explicit MachineLoad(double cores) : cores_(cores) {}

  void note(const MachineSample& sample);
  // Nothing seen lately: all of it is idle.
  MachineView view(Instant now) const;

 private:
  double cores_;
  std::optional<MachineSample> last_;
  std::optional<MachineView> view_;
};

}  // namespace thaw::policy
