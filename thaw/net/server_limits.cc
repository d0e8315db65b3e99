// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "thaw/net/server.h"

namespace thaw::net {

ServerLimits within(ServerLimits limits, std::uint64_t descriptors, std::uint64_t memory_bytes) {
  // The rest is the server's own: its files, its containers, and connections to their ports.
  constexpr std::uint64_t kept_when_few = 192;
  const std::uint64_t kept =
      std::max(descriptors / 2, std::min(descriptors / 4 * 3, kept_when_few));
  limits.connections = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(descriptors - kept, 8, limits.connections));
  // A message is there twice or three times while it is decoded and kept.
  constexpr std::uint64_t part_of_memory = 6;
  limits.buffer_bytes = static_cast<std::size_t>(
      std::clamp<std::uint64_t>(memory_bytes / part_of_memory, 4u << 20, limits.buffer_bytes));
  // Each costs some fifty KiB; a part of what peers may have is enough for them.
  constexpr std::size_t handshake_bytes = 48u << 10;
  limits.handshakes =
      std::clamp<std::size_t>(limits.buffer_bytes / 8 / handshake_bytes, 8, limits.handshakes);
  limits.handshakes_per_address = std::min(limits.handshakes_per_address, limits.handshakes / 4);
  return limits;
}

}  // namespace thaw::net
