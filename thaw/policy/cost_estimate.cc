// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/cost_estimate.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

namespace thaw::policy {

namespace {

__extension__ using Wide = __int128;

constexpr std::int64_t million = 1'000'000;
constexpr std::int64_t days_of_month = 30;
constexpr std::int64_t hours_of_month = 24 * days_of_month;

Money bounded(Wide money) {
  return static_cast<Money>(std::clamp<Wide>(money, 0, std::numeric_limits<Money>::max()));
}

// To the nearest, of numbers that are not negative.
Wide divided(Wide number, Wide by) { return (number + by / 2) / by; }

bool read_whole(std::string_view text, std::int64_t& out) {
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && rest == text.data() + text.size() && out >= 0 &&
         out <= 1'000'000'000;
}

}  // namespace

Result<Share> parse_share(std::string_view text) {
  Share share;
  if (const std::size_t line = text.find('/'); line != std::string_view::npos) {
    if (read_whole(text.substr(0, line), share.of) &&
        read_whole(text.substr(line + 1), share.parts) && share.parts > 0) {
      return share;
    }
  } else {
    const bool is_percent = text.ends_with('%');
    if (const auto number = parse_price(text.substr(0, text.size() - (is_percent ? 1 : 0)))) {
      const std::int64_t parts = std::int64_t{1'000'000'000} * (is_percent ? 100 : 1);
      const std::int64_t common = std::gcd(*number, parts);
      return Share{*number / common, parts / common};
    }
  }
  return Error::invalid_argument("a share is written as 1/3, 0.25 or 25%, not as '" +
                                 std::string(text.substr(0, 40)) + "'");
}

Estimate estimate(const EstimateAsked& asked) {
  // What is more than that is no estimate any more, and its products are no numbers.
  constexpr std::int64_t most = 1'000'000'000'000;
  const Wide calls{std::min(asked.calls_a_month, most)};
  const Wide call_us{std::min(asked.call_us, most / 10)};
  const Wide per_second{std::min<Money>(asked.per_second, most * 1'000)};
  const Wide seconds = calls * call_us * per_second;  // in millionths
  Estimate out;
  out.seconds = bounded(divided(seconds, million));
  out.cold = bounded(divided(seconds / asked.cold.parts * asked.cold.of +
                                 seconds % asked.cold.parts * asked.cold.of / asked.cold.parts,
                             million));
  out.fees = bounded(calls * asked.per_call);
  out.serverless = bounded(Wide{out.seconds} + out.cold + out.fees);
  out.dedicated = bounded(Wide{asked.dedicated_hour} * hours_of_month * asked.machines);
  // What one call a day costs in a month, in millionths and parts of the share.
  const Wide one = days_of_month * (call_us * per_second * (asked.cold.parts + asked.cold.of) +
                                    Wide{asked.per_call} * million * asked.cold.parts);
  if (one > 0 && asked.dedicated_hour > 0) {
    out.crossover_a_day = bounded(Wide{out.dedicated} * million * asked.cold.parts / one);
  }
  return out;
}

}  // namespace thaw::policy
