// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/processor_shares.h"

#include <cmath>
#include <map>
#include <string>

namespace thaw::control {

void share_processors(const Pools& pools, Instant now) {
  constexpr double of_a_workspace = 4;  // against templates and builds, which have 1
  constexpr double of_a_start = 0.25;
  constexpr Duration lately = 2s;
  constexpr double worth_a_change = 0.2;
  constexpr std::size_t writes_at_once = 128;  // small files of the kernel's, as readings are
  const auto counts = [now, lately](const Container& container) {
    return !container.start.reached_ready || !container.idle() ||
           now - container.work.idle_since < lately;
  };
  std::map<std::string, std::map<std::string, double>> parts;  // workspace, function
  for (const auto& [id, container] : pools.containers()) {
    if (container->running && !container->in_background() && counts(*container)) {
      parts[container->spec->workspace.str()][container->spec->id.str()] +=
          container->start.reached_ready ? 1 : of_a_start;
    }
  }
  std::size_t writes = 0;
  for (const auto& [id, container] : pools.containers()) {
    if (!container->running || container->in_background() || !counts(*container) ||
        writes == writes_at_once) {
      continue;
    }
    const auto& functions = parts[container->spec->workspace.str()];
    const double part = container->start.reached_ready ? 1 : of_a_start;
    const double weight = of_a_workspace * part / functions.at(container->spec->id.str()) /
                          static_cast<double>(functions.size());
    if (std::abs(weight - container->measured.weight) >
        worth_a_change * container->measured.weight) {
      container->measured.weight = weight;
      ++writes;
      (void)container->running->weigh(weight);  // one that has just ended has none
    }
  }
}

}  // namespace thaw::control
