// SPDX-License-Identifier: Apache-2.0
//
// Bill: what the ledger has, with prices: rows by what somebody asks for. The same money whatever
// the rows are: each call's part is priced by itself, and what is of no call (kept warm,
// background) stands in rows of functions and days, or in one that is nobody's. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "thaw/meter/usage.h"
#include "thaw/policy/price.h"

namespace thaw::gateway {

enum class BillBy : std::uint8_t { function, token, front, day, level };
// invalid_argument lists them.
Result<BillBy> parse_bill_by(const std::string& text);

struct BillRow {
  // What of them the rows are by; the others are empty.
  model::WorkspaceId workspace;
  model::FunctionId function;
  std::string function_name;
  model::TokenId token;
  std::string front;
  std::string day;
  std::string level;
  bool is_of_calls = true;  // by token, front, level: false of what is of no call

  meter::CallSums sums;
  std::int64_t cold_calls = 0;  // that a container was started for
  meter::Parts parts{};
  std::array<std::int64_t, meter::parts> gpu_us{};
  policy::Money calls_cost = 0;
  policy::Money cold_cost = 0;
  policy::Money kept_warm_cost = 0;
  policy::Money background_cost = 0;

  policy::Money cost() const { return calls_cost + cold_cost + kept_warm_cost + background_cost; }
};

// Sorted: the dearest first, then those of the longest time; days in their order.
std::vector<BillRow> make_bill(const meter::Usage& usage, const policy::Prices& prices, BillBy by);

}  // namespace thaw::gateway
