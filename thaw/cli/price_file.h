// SPDX-License-Identifier: Apache-2.0
//
// Prices of other clouds, as a user writes them down in a YAML file:
//
//   clouds:
//     - name: somewhere
//       per_call: 0.0000002
//       second: 0.001
//       bills: calls        # or: containers, with what is kept warm
//
// What it says is kept as written: 0.0000002 is two hundred billionths.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/policy/price.h"

namespace thaw::cli {

struct CloudPrices {
  std::string name;
  // calls: each call's time, its start with it if that is billed. containers: all of their lives.
  enum class Bills : std::uint8_t { calls, containers } bills = Bills::calls;
  bool bills_starts = true;
  policy::PriceTable table;
};

// invalid_argument names the line.
Result<std::vector<CloudPrices>> read_price_file(std::string_view text);

}  // namespace thaw::cli
