// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/scaling_limits.h"

#include <algorithm>
#include <string>

namespace thaw::dialect::modal {

namespace {

constexpr int most_ever = 100'000;  // of anything
constexpr Duration longest_window = std::chrono::hours(24 * 30);

}  // namespace

int container_count(std::uint32_t sent) {
  return static_cast<int>(std::min<std::uint32_t>(sent, most_ever));
}

Result<void> bound_scaling(model::FunctionSpec& spec, std::size_t most_of_one, std::size_t most) {
  model::Scaling& scaling = spec.scaling;
  const int limit = static_cast<int>(std::min<std::size_t>(most_of_one, most_ever));
  if (scaling.min_containers > limit) {
    return Error::invalid_argument(
        "function '" + spec.name +
        "' asks for min_containers=" + std::to_string(scaling.min_containers) +
        ", and one function can have " + std::to_string(limit) + " of the " + std::to_string(most) +
        " containers of this server; ask for fewer, or raise [containers] max in its "
        "configuration");
  }
  if (scaling.max_containers > 0 && scaling.max_containers < scaling.min_containers) {
    return Error::invalid_argument("function '" + spec.name + "' asks for min_containers=" +
                                   std::to_string(scaling.min_containers) +
                                   " and max_containers=" + std::to_string(scaling.max_containers) +
                                   "; the first cannot be larger");
  }
  scaling.min_containers = std::max(scaling.min_containers, 0);
  scaling.max_containers = std::clamp(scaling.max_containers, 0, most_ever);
  scaling.buffer_containers = std::clamp(scaling.buffer_containers, 0, limit);
  scaling.scaledown_window = std::clamp<Duration>(scaling.scaledown_window, 0s, longest_window);
  return ok();
}

}  // namespace thaw::dialect::modal
