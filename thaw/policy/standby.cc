// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/standby.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace thaw::policy {

namespace {

constexpr std::size_t most_of_one_function = 4;
constexpr std::uint64_t part_of_memory = 32;  // one part of so many, of the machine's
constexpr std::size_t part_of_places = 4;     // of those that nobody serves in
constexpr std::uint64_t assumed_bytes = std::uint64_t{16} << 20;  // of one that was not measured

// Below an eighth memory is wanted elsewhere. Between that and a quarter what is there stays: its
// own coming and going is not to be what decides.
constexpr std::uint64_t short_below = 8;
constexpr std::uint64_t enough_above = 4;

bool is_wanted(const StandbyCandidate& candidate, const StandbyRules& rules, Instant now) {
  return rules.unused > Duration::zero() && candidate.last_called != Instant{} &&
         now - candidate.last_called < rules.unused && candidate.bytes <= rules.bytes_of_one;
}

struct Left {
  std::uint64_t bytes = 0;
  std::size_t places = 0;

  bool has(std::uint64_t some) const { return places > 0 && bytes >= some; }
  void take(std::uint64_t some) {
    bytes -= some;
    --places;
  }
};

}  // namespace

bool is_memory_wanted(const StandbyMachine& machine) {
  return machine.memory_bytes == 0 || machine.available_bytes < machine.memory_bytes / short_below;
}

std::vector<std::size_t> plan_standbys(const std::vector<StandbyCandidate>& candidates,
                                       const StandbyRules& rules, const StandbyMachine& machine) {
  std::vector<std::size_t> plan(candidates.size(), 0);
  if (is_memory_wanted(machine)) {
    return plan;
  }
  const bool may_grow = machine.available_bytes >= machine.memory_bytes / enough_above;
  Left all;
  all.bytes = machine.memory_bytes / part_of_memory;
  all.places = (machine.most - std::min(machine.most, machine.serving)) / part_of_places;
  const Left of_one{machine.is_shared ? all.bytes / 2 : all.bytes,
                    machine.is_shared ? (all.places + 1) / 2 : all.places};
  std::map<std::string, Left> of_workspace;
  std::map<std::string, std::size_t> of_function;  // what is left of its room
  for (const StandbyCandidate& candidate : candidates) {
    of_workspace.try_emplace(candidate.workspace, of_one);
    of_function.try_emplace(candidate.function, std::min(candidate.room, most_of_one_function));
  }
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return candidates[a].last_called > candidates[b].last_called;
  });
  // Everybody's first one comes before anybody's second.
  for (std::size_t round = 0; round < most_of_one_function; ++round) {
    for (const std::size_t i : order) {
      const StandbyCandidate& candidate = candidates[i];
      const std::size_t wanted = std::max<std::size_t>(candidate.at_once, 1);
      const std::size_t most = may_grow ? wanted : std::min(wanted, candidate.have);
      const std::uint64_t bytes = candidate.bytes > 0 ? candidate.bytes : assumed_bytes;
      Left& own = of_workspace.at(candidate.workspace);
      std::size_t& room = of_function.at(candidate.function);
      if (plan[i] == round && round < most && room > 0 && own.has(bytes) && all.has(bytes) &&
          is_wanted(candidate, rules, machine.now)) {
        ++plan[i];
        --room;
        own.take(bytes);
        all.take(bytes);
      }
    }
  }
  return plan;
}

}  // namespace thaw::policy
