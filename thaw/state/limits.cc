// SPDX-License-Identifier: Apache-2.0
#include "thaw/state/limits.h"

#include <algorithm>

namespace thaw::state {

namespace {

std::string size_text(std::uint64_t bytes) {
  return bytes >= (1u << 20) && bytes % (1u << 20) == 0 ? std::to_string(bytes >> 20) + " MiB"
                                                        : std::to_string(bytes) + " bytes";
}

Error too_large(const std::string& what, std::uint64_t bytes, std::uint64_t most) {
  return Error::out_of_range(what + " has " + size_text(bytes) + "; the most is " +
                             size_text(most));
}

Result<void> check_key(const StateLimits& limits, const std::string& key) {
  if (key.size() > limits.key_bytes) {
    return too_large("the key of an entry", key.size(), limits.key_bytes);
  }
  return ok();
}

}  // namespace

Result<void> check_update(const StateLimits& limits, const std::vector<Entry>& entries) {
  if (entries.size() > limits.update_entries) {
    return Error::out_of_range("an update of " + std::to_string(entries.size()) +
                               " entries; the most is " + std::to_string(limits.update_entries) +
                               " at once");
  }
  for (const Entry& entry : entries) {
    THAW_TRY_VOID(check_key(limits, entry.key));
    if (entry.value.size() > limits.value_bytes) {
      return too_large("the value of an entry", entry.value.size(), limits.value_bytes);
    }
  }
  return ok();
}

Result<void> check_partition(const StateLimits& limits, const std::string& partition) {
  if (partition.size() > limits.partition_key_bytes) {
    return Error::invalid_argument("the name of a partition has " +
                                   std::to_string(partition.size()) + " bytes; the most is " +
                                   std::to_string(limits.partition_key_bytes));
  }
  return ok();
}

Result<void> check_put(const StateLimits& limits, const std::vector<std::string>& items,
                       Duration ttl) {
  if (items.size() > limits.partition_items) {
    return Error::out_of_range(std::to_string(items.size()) +
                               " items at once; a partition has at most " +
                               std::to_string(limits.partition_items));
  }
  std::uint64_t all = 0;
  for (const std::string& item : items) {
    if (item.size() > limits.item_bytes) {
      return too_large("an item", item.size(), limits.item_bytes);
    }
    all += item.size();
  }
  if (all > limits.partition_bytes) {
    return too_large("what is put at once", all, limits.partition_bytes);
  }
  if (ttl < Duration::zero() || ttl > limits.longest_partition_ttl) {
    return Error::invalid_argument(
        "a partition is kept for 1 to " +
        std::to_string(
            std::chrono::duration_cast<std::chrono::seconds>(limits.longest_partition_ttl)
                .count()) +
        " seconds after its last put, not " +
        std::to_string(std::chrono::duration_cast<std::chrono::seconds>(ttl).count()));
  }
  return ok();
}

}  // namespace thaw::state
