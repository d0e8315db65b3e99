// SPDX-License-Identifier: Apache-2.0
//
// FleetOptions: what the owner of this machine sets. FleetCounters: what the Fleet and its parts
// count, since the server started.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "thaw/base/time.h"
#include "thaw/control/freezer.h"
#include "thaw/model/level.h"
#include "thaw/policy/keep_alive.h"
#include "thaw/policy/standby.h"

namespace thaw::control {

struct FleetOptions {
  std::size_t max_containers = 200;
  std::size_t max_starting = 0;  // 0: four for each processor, at least eight
  enum class MissingGpu { error, cpu } missing_gpu = MissingGpu::error;
  std::uint64_t default_memory_bytes = 0;  // limit for functions that ask for none; 0: none
  Duration stop_grace = 30s;               // exit hooks of a container that ends by itself
  Duration interrupt_grace = 5s;           // of one that is told to end while it works
  std::size_t max_port_waiters = 1000;     // requests that wait for a port, of each function
  std::size_t kept_starts = 500;           // finished containers remembered for people
  FreezerOptions freezer;
  // For functions whose user named no window.
  policy::KeepAliveSettings keep_alive = {.price_per_gb = 8, .longest_held = 1h};
  Duration shortest_window = 10s;
  policy::StandbyRules standby;
  bool expects = true;  // what a first start of a published function needs is made ahead
  Duration expect_after = 2s;
};

struct FleetCounters {
  std::map<model::Level, std::uint64_t> answers;  // by what the container was when it got the call
  std::map<model::Level, std::uint64_t> starts;   // of containers whose program ran
  std::map<std::pair<model::Level, std::string>, std::uint64_t> fallbacks;  // by level and reason
  std::uint64_t start_failures = 0;
  std::uint64_t started_ahead = 0;  // of an expected call
  std::uint64_t out_of_memory = 0;
  std::uint64_t input_timeouts = 0;
  std::uint64_t crashes = 0;
};

}  // namespace thaw::control
