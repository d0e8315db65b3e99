// SPDX-License-Identifier: Apache-2.0
//
// Ports: leases of containers whose own port is asked: a request passes straight through to it,
// and takes one of its slots meanwhile, as an input does. Who finds none free waits in the pool.
// Loop thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "thaw/control/fleet_options.h"
#include "thaw/control/keep_alive.h"
#include "thaw/control/pools.h"

namespace thaw::control {

struct PortLease {
  model::ContainerId container;
  std::string address;
  std::uint16_t port = 0;  // of a server's contract; 0: whoever asks knows it
  model::PushContract::Wire wire = model::PushContract::Wire::http1;  // spoken there
  model::Level level = model::Level::warm;  // what the container was when it got the request
  std::string version;                      // that the container runs
  std::uint64_t line = 0;                   // of the ledger; 0: none
};

// Who asks at a port, and for how long before: what the ledger is told.
struct PortAsker {
  model::TokenId token = {};
  Instant asked = monotonic_now();
};

// A lease, or how the start ended that was waited for.
using PortAnswer = std::variant<PortLease, model::Outcome>;

// What came of a lease: its server's answer has begun at least; nothing has come by the function's
// time limit; or its client has left before, or something else broke.
enum class PortUse { answered, timed_out, broken_off };

class Ports {
 public:
  Ports(Pools& pools, KeepAlive& keep_alive, FleetCounters& counters, std::size_t most_waiters)
      : pools_(pools), keep_alive_(keep_alive), counters_(counters), most_waiters_(most_waiters) {}

  // If one is free at this moment.
  std::optional<PortLease> try_lease(const model::Target& target, const PortAsker& asker = {});
  // Waits for one, or for a start that fails. resource_exhausted: too many wait; deadline_exceeded;
  // unavailable: the app or the server is stopping.
  async::Task<PortAnswer> lease(model::Target target, Instant deadline, PortAsker asker = {});
  void give_back(const PortLease& lease, PortUse use);

 private:
  std::optional<PortLease> free_port(Pool& pool, const PortAsker& asker);
  std::size_t waiters_of(const model::FunctionId& function) const;

  Pools& pools_;
  KeepAlive& keep_alive_;
  FleetCounters& counters_;
  std::size_t most_waiters_;  // of each function
};

}  // namespace thaw::control
