// SPDX-License-Identifier: Apache-2.0
//
// Inputs: the delivery of inputs to containers that ask for them. What is handed out is leased,
// on record as an attempt before its container hears of it, and the container's until it has
// finished, was cancelled or has ended. Loop thread only.
#pragma once

#include <vector>

#include "thaw/control/keep_alive.h"
#include "thaw/control/pools.h"
#include "thaw/control/starts.h"
#include "thaw/queue/call_queue.h"

namespace thaw::control {

struct Poll {
  std::vector<queue::LeasedInput> inputs;  // empty and !stop: ask again
  bool stop = false;
};

struct PollOptions {
  std::size_t max = 1;
  Duration linger{};     // how long to wait for a batch to fill
  Instant hold_until{};  // answer by then, with or without inputs
  // Of large ones: their bytes, or the blobs' names, whose bytes the caller reads in pieces.
  enum class Payloads { whole, as_kept } payloads = Payloads::whole;
};

struct InputsParts {
  Pools& pools;
  queue::CallQueue& queue;
  Starts& starts;
  KeepAlive& keep_alive;
  FleetCounters& counters;
};

class Inputs {
 public:
  explicit Inputs(InputsParts parts) : parts_(parts) {}

  async::Task<Poll> next(model::ContainerId id, PollOptions options);
  async::Task<void> finish(model::ContainerId id, model::InputId input, model::Outcome outcome);
  // Of a poll whose answer nobody has heard: the next one, or one that waits already, gets them.
  void take_back(const model::ContainerId& id, std::vector<queue::LeasedInput> inputs);
  // Tells (or, with `now`, kills) the containers that run these inputs.
  void cancel(const std::vector<model::InputId>& inputs, StopHow how);
  // Inputs to cancel, as soon as there are some, else empty at `hold_until`.
  async::Task<std::vector<model::InputId>> wait_for_cancels(model::ContainerId id,
                                                            Instant hold_until);

 private:
  std::vector<queue::LeasedInput> lease(Container& container, std::size_t most);
  // A poll of one that stands by: waits until somebody has it or it is to end; false at `until`.
  async::Task<bool> stand_by(ContainerPtr container, Instant until);
  async::Task<void> park(Pool& pool, ContainerPtr container, Instant until);
  // Gets them their whole payloads; gives back those that cannot have them, and how they are to
  // end.
  struct Lost {
    model::InputId input;
    model::Outcome outcome;
  };
  async::Task<std::vector<Lost>> bring_payloads(std::vector<queue::LeasedInput>& inputs);
  async::Task<void> record_deliveries(ContainerPtr container,
                                      std::vector<queue::LeasedInput>& inputs);

  InputsParts parts_;
};

}  // namespace thaw::control
