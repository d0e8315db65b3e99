// SPDX-License-Identifier: Apache-2.0
//
// What the processors of this machine have done since it booted, as the kernel counts it. Not every
// kernel counts all: pressure wants CONFIG_PSI, the time in queues CONFIG_SCHEDSTATS.
#pragma once

#include <optional>
#include <string>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::os {

struct ProcessorTimes {
  Duration busy{};   // of all processors, what another guest of the hardware took included
  int runnable = 0;  // threads that run or wait for a processor, the asking one too
  std::optional<Duration> queued;   // that threads waited for a processor
  std::optional<Duration> pressed;  // in which at least one did
};

Result<ProcessorTimes> processor_times();

// Of /proc/stat, /proc/schedstat and /proc/pressure/cpu. `ticks`: of a second.
Result<ProcessorTimes> parse_processor_times(const std::string& stat, long ticks);
std::optional<Duration> parse_queued(const std::string& schedstat);
std::optional<Duration> parse_pressed(const std::string& pressure);

}  // namespace thaw::os
