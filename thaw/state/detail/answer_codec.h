// SPDX-License-Identifier: Apache-2.0
//
// The stored form of an answer that may be asked for again. Pure; the forms are on disks, and what
// is damaged is data_loss.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::state::detail {

struct Item {
  std::int64_t number = 0;  // its place in the queue; a later one has a greater one
  std::string value;
};

// What one request has taken: enough to answer again, and to put all back.
struct Taken {
  std::string partition;
  WallTime until{};  // of the partition
  std::vector<Item> items;
};

std::string encode_count(std::uint64_t count);
Result<std::uint64_t> decode_count(std::string_view bytes);
std::string encode_taken(const Taken& taken);
Result<Taken> decode_taken(std::string_view bytes);

}  // namespace thaw::state::detail
