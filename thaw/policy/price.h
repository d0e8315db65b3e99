// SPDX-License-Identifier: Apache-2.0
//
// What use costs, by tables of prices that hold from a day on. Money is whole billionths of a
// currency; sums are made before they are rounded, once. A ledger has no prices: tables are applied
// when it is read, so that a price that was wrong is put right for the past too. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::policy {

// Billionths: "nano" of the currency.
using Money = std::int64_t;
// "0.0000131" and the like, as people write prices; at most nine decimals are kept.
Result<Money> parse_money(std::string_view text);
// The same, less than a million.
Result<Money> parse_price(std::string_view text);
// "23040.00"; at least two decimals, and as many as it has, at most `decimals`.
std::string money_text(Money money, int decimals = 6);

struct PriceTable {
  std::int64_t from_day = 0;  // since the epoch; it holds until the next table's
  Money per_call = 0;
  Money second = 0;  // of a call's time, or of a start that it waits for; beside what it holds
  Money cpu_second = 0;
  Money gb_second = 0;  // 2^30 bytes
  Money frozen_gb_second = 0;
  std::map<std::string, Money> gpu_second;  // by kind
  Money keep_warm_hour = 0;                 // of a container that is idle or frozen
  std::int64_t round_to_us = 0;             // each call's time up to whole ones
  std::int64_t minimum_us = 0;              // of each call
  std::int64_t percent = 100;               // of all of it: the share of a spot price
};

// Use of one kind, by one function.
struct Used {
  enum class As : std::uint8_t { calls, cold, kept_warm, background } as = As::calls;
  std::int64_t calls = 0;  // that ended
  std::int64_t us = 0;     // as is billed: rounded, if the table rounds
  std::int64_t cpu_us = 0;
  std::int64_t byte_seconds = 0;
  std::int64_t frozen_byte_seconds = 0;
  std::string gpu;
  std::int64_t gpu_us = 0;
};

struct Prices {
  std::string currency = "USD";
  std::vector<PriceTable> tables;  // by day; empty: everything is free

  const PriceTable& on(std::int64_t day) const;
  bool is_free() const;
};

Money price(const Used& used, const PriceTable& table);

// `text`, a day as "2026-12-01", since the epoch.
Result<std::int64_t> parse_day(std::string_view text);
std::string day_text(std::int64_t day);

}  // namespace thaw::policy
