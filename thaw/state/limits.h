// SPDX-License-Identifier: Apache-2.0
//
// What of dicts and item queues is bounded, and how: plain numbers, and the words for what exceeds
// them. Numbers that a cloud documents are what its programs rely on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::state {

struct Entry {
  std::string key;
  std::string value;
};

struct StateLimits {
  // Of a workspace, over all of its dicts and queues.
  std::size_t entries = 5'000'000;
  std::uint64_t bytes = 4ull << 30;  // keys, values and `overhead` for each entry
  std::size_t waits = 10'000;        // requests that wait for an item
  std::size_t waits_of_asker = 1'000;
  std::size_t answers = 10'000;  // that are remembered; the oldest go first
  std::uint64_t answer_bytes = 32u << 20;

  std::size_t key_bytes = 64u << 10;
  std::size_t value_bytes = 100u << 20;
  std::size_t update_entries = 10'000;  // of one request
  // An entry that is neither written nor read so long ends; up to `touch_every` later.
  Duration keep_entries = std::chrono::hours(24 * 7);
  Duration touch_every = std::chrono::hours(1);

  std::size_t item_bytes = 1u << 20;
  std::size_t partition_items = 5'000;
  std::uint64_t partition_bytes = 64u << 20;
  std::size_t partitions = 100'000;  // of a queue
  std::size_t partition_key_bytes = 64;
  Duration partition_ttl = std::chrono::hours(24);  // since the last put
  Duration longest_partition_ttl = std::chrono::hours(24 * 7);
  std::uint64_t take_bytes = 16u << 20;  // of one request, but for its first item

  Duration remember = std::chrono::minutes(10);  // an answer, for who asks again
};

// What an entry or an item counts for beside its key and value.
constexpr std::uint64_t overhead = 128;

// out_of_range: it is larger than can ever be taken, whatever there is room for. invalid_argument:
// it makes no sense.
Result<void> check_update(const StateLimits& limits, const std::vector<Entry>& entries);
Result<void> check_partition(const StateLimits& limits, const std::string& partition);
Result<void> check_put(const StateLimits& limits, const std::vector<std::string>& items,
                       Duration ttl);

}  // namespace thaw::state
