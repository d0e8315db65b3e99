// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/limits.h"

#include <algorithm>

namespace thaw::queue {

QueueLimits within(QueueLimits limits, std::uint64_t memory_bytes) {
  // The rest is for messages on their way, for copies of payloads while they are decoded, and for
  // all else that the server remembers.
  constexpr std::uint64_t part_of_memory = 4;
  constexpr std::uint64_t least = 8u << 20;
  const std::uint64_t all = std::max(memory_bytes / part_of_memory, least);
  const auto at_most = [](std::size_t& limit, std::uint64_t bytes) {
    limit = static_cast<std::size_t>(std::min<std::uint64_t>(limit, bytes));
  };
  at_most(limits.payload_bytes_in_memory, all);
  at_most(limits.bytes_per_workspace, all / 4 * 3);
  at_most(limits.bytes_per_function, all / 2);
  return limits;
}

}  // namespace thaw::queue
