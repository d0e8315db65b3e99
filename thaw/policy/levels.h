// SPDX-License-Identifier: Apache-2.0
//
// In which order a start tries the levels of the ladder: the fastest first, as measured for this
// version; what was not measured yet is taken to be as usual. A level that is measured seldom is
// tried now and then although another leads, for times change; one that failed lately waits its
// back-off and stands behind the others. Booted is always there and always last, as it cannot give
// way to anything. Pure: equal arguments give equal orders.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/model/level.h"

namespace thaw::policy {

// What is known of starts of one version by one level.
struct LevelRecord {
  std::uint64_t starts = 0;        // that reached ready
  Duration time{};                 // typical, from launch to ready; 0: never measured
  std::uint64_t memory_bytes = 0;  // typical, once ready; 0: never measured
  int failures = 0;                // in a row
  Instant last_failure{};
  std::uint64_t since_start = 0;  // starts of this version, by any level, since its last one
};

struct LevelRecords {
  LevelRecord& of(model::Level level) { return all[static_cast<std::size_t>(level)]; }
  const LevelRecord& of(model::Level level) const { return all[static_cast<std::size_t>(level)]; }
  std::array<LevelRecord, 5> all{};
};

// What a start by this level usually takes, before it was measured.
Duration usual_start(model::Level level);

// `offered`: the levels that this start has something for, besides booted.
std::vector<model::Level> order_levels(const LevelRecords& records,
                                       const std::vector<model::Level>& offered, Instant now);

// What the next start will likely take: the time of the first of these levels.
Duration expected_start(const LevelRecords& records, const std::vector<model::Level>& order);

// Whether a version is to start by restores that take so long, from launch to ready, measured
// beside a boot at a quiet moment. A gain that nobody would notice is not worth the disk, nor that
// all containers begin with one memory.
bool is_worth_restoring(Duration booted, Duration restored);
// Whether so many restores of a version were measured to be no gain that it boots from now on.
bool has_restored_in_vain(const LevelRecords& records);

}  // namespace thaw::policy
