// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/processors.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <sstream>

#include "thaw/os/files.h"

namespace thaw::os {

namespace {

// Whether a kernel has a counter does not change while it runs.
struct Counters {
  bool schedstat = exists("/proc/schedstat");
  bool pressure = read_text("/proc/pressure/cpu").has_value();
};

}  // namespace

Result<ProcessorTimes> parse_processor_times(const std::string& stat, long ticks) {
  ProcessorTimes times;
  bool has_total = false;
  std::istringstream lines(stat);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name == "cpu") {
      std::int64_t user = 0, nice = 0, system = 0, idle = 0, waits = 0, irq = 0, soft = 0,
                   steal = 0;
      has_total = static_cast<bool>(words >> user >> nice >> system >> idle);
      words >> waits >> irq >> soft >> steal;
      const std::int64_t busy = user + nice + system + irq + soft + steal;
      times.busy = std::chrono::nanoseconds(busy * (1'000'000'000 / std::max(ticks, 1L)));
    } else if (name == "procs_running") {
      words >> times.runnable;
    }
  }
  if (!has_total) {
    return Error::failed_precondition("/proc/stat does not say what the processors did");
  }
  return times;
}

std::optional<Duration> parse_queued(const std::string& schedstat) {
  std::optional<Duration> sum;
  std::istringstream lines(schedstat);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (!name.starts_with("cpu")) {
      continue;
    }
    std::int64_t number = 0;
    int read = 0;
    while (read < 8 && words >> number) {
      ++read;
    }
    if (read == 8) {
      sum = sum.value_or(Duration::zero()) + std::chrono::nanoseconds(number);
    }
  }
  return sum;
}

std::optional<Duration> parse_pressed(const std::string& pressure) {
  const std::size_t some = pressure.find("some ");
  const std::size_t total = pressure.find("total=", some == std::string::npos ? 0 : some);
  if (some == std::string::npos || total == std::string::npos) {
    return std::nullopt;
  }
  std::istringstream words(pressure.substr(total + 6));
  std::int64_t us = 0;
  return words >> us ? std::optional<Duration>(std::chrono::microseconds(us)) : std::nullopt;
}

Result<ProcessorTimes> processor_times() {
  static const Counters has;
  static const long ticks = ::sysconf(_SC_CLK_TCK);
  THAW_TRY(const std::string stat, read_text("/proc/stat"));
  THAW_TRY(ProcessorTimes times, parse_processor_times(stat, ticks));
  if (has.schedstat) {
    if (const auto text = read_text("/proc/schedstat")) {
      times.queued = parse_queued(*text);
    }
  }
  if (has.pressure) {
    if (const auto text = read_text("/proc/pressure/cpu")) {
      times.pressed = parse_pressed(*text);
    }
  }
  return times;
}

}  // namespace thaw::os
