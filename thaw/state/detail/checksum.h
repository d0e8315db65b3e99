// SPDX-License-Identifier: Apache-2.0
//
// A checksum against damage on the disk, not against people: 64 bits, and fast, as it is computed
// for each value that is written or read. The numbers are on disks.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace thaw::state::detail {

inline std::uint64_t mixed(std::uint64_t sum, std::string_view bytes) {
  constexpr std::uint64_t factor = 0x9e3779b97f4a7c15;
  sum = (sum ^ bytes.size()) * factor;
  while (!bytes.empty()) {
    const std::size_t step = bytes.size() < sizeof(std::uint64_t) ? bytes.size() : 8;
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), step);
    sum = std::rotl(sum ^ word, 27) * factor;
    bytes.remove_prefix(step);
  }
  return sum ^ (sum >> 32);
}

// Of a value under its key: it is not right under another one.
inline std::int64_t checksum(std::string_view key, std::string_view value) {
  return static_cast<std::int64_t>(mixed(mixed(0x7468617773746174, key), value));
}

}  // namespace thaw::state::detail
