// SPDX-License-Identifier: Apache-2.0
//
// Limits: what ends a container, or an input in it, that goes past what it may have: the time of a
// start, of a call and of an end, the disk; and a container that cannot answer any more, because
// what it runs has closed the connection by which inputs come and outputs go, as a program does
// that closes descriptors which it has not opened. Loop thread only.
#pragma once

#include <string>

#include "thaw/control/fleet_options.h"
#include "thaw/control/pools.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

struct LimitsParts {
  Pools& pools;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  FleetCounters& counters;
};

class Limits {
 public:
  explicit Limits(LimitsParts parts) : parts_(parts) {}

  // At each tick, of each container.
  async::Task<void> enforce(ContainerPtr container, Instant now);
  void end_if_cut_off(const ContainerPtr& container, Instant now);
  // Ends it at once; its log and those who wait for its inputs are told why.
  void end_for(const model::ContainerId& id, const std::string& why);

 private:
  LimitsParts parts_;
};

}  // namespace thaw::control
