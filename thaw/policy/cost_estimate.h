// SPDX-License-Identifier: Apache-2.0
//
// Serverless or dedicated: what so many calls a day cost by the second, beside machines that are
// paid by the hour whether they work or not; and from how many calls on the machines are cheaper.
// A month has 30 days. Pure, and exact: whole billionths, no floating point.
#pragma once

#include <cstdint>
#include <optional>

#include "thaw/policy/price.h"

namespace thaw::policy {

// What cold starts add to the seconds of calls: "1/3", of 0.33 or 33 %.
struct Share {
  std::int64_t of = 0;
  std::int64_t parts = 1;
};
Result<Share> parse_share(std::string_view text);  // "1/3", "0.25", "25%"

struct EstimateAsked {
  std::int64_t calls_a_month = 0;
  std::int64_t call_us = 0;
  Money per_second = 0;
  Money per_call = 0;
  Share cold;
  Money dedicated_hour = 0;  // of one machine; 0: nothing to compare with
  std::int64_t machines = 1;
};

struct Estimate {
  Money seconds = 0;  // of calls, in a month
  Money cold = 0;     // of their cold starts
  Money fees = 0;     // by the call
  Money serverless = 0;
  Money dedicated = 0;
  // Calls a day from which on the machines are not dearer; none: there is no such number.
  std::optional<std::int64_t> crossover_a_day;
};

Estimate estimate(const EstimateAsked& asked);

}  // namespace thaw::policy
