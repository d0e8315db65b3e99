// SPDX-License-Identifier: Apache-2.0
//
// When the server gives free memory back to the system. That stops whoever allocates for some
// milliseconds, so it waits for a quiet moment; one that never comes is not waited for when much is
// at stake.
#pragma once

#include <cstdint>

#include "thaw/base/time.h"

namespace thaw::policy {

struct OwnMemory {
  std::uint64_t resident_bytes = 0;
  std::uint64_t resident_after_last_bytes = 0;  // when it was given back last, or at the start
  std::uint64_t requests_per_s = 0;             // since the last look
  Duration since_last{};
  std::uint64_t limit_bytes = 0;  // that the process may have; 0: not known
};

inline bool gives_memory_back(const OwnMemory& memory) {
  constexpr std::uint64_t worth_it = 8u << 20;
  constexpr std::uint64_t much = 512u << 20;
  constexpr std::uint64_t quiet_per_s = 20;
  constexpr Duration always_after = std::chrono::minutes(5);
  const bool is_quiet = memory.requests_per_s <= quiet_per_s;
  // What was in use at the last time may be free by now, and does not show in what is resident.
  if (is_quiet && memory.since_last >= always_after) {
    return true;
  }
  const std::uint64_t more = memory.resident_bytes > memory.resident_after_last_bytes
                                 ? memory.resident_bytes - memory.resident_after_last_bytes
                                 : 0;
  if (more < worth_it) {
    return false;
  }
  // Who may have little is killed for what it has freed and not given back.
  const bool is_short = memory.limit_bytes > 0 && memory.resident_bytes >= memory.limit_bytes / 2;
  if (is_short && memory.since_last >= std::chrono::seconds(5)) {
    return true;
  }
  return (is_quiet && memory.since_last >= std::chrono::seconds(10)) ||
         (more >= much && memory.since_last >= std::chrono::seconds(60));
}

}  // namespace thaw::policy
