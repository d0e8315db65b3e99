// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/attribution.h"

#include <algorithm>
#include <numeric>

namespace thaw::meter {

namespace {

// Products of microseconds and bytes are larger than a word.
__extension__ using Wide = __int128;

using Weights = std::array<std::int64_t, parts>;

constexpr std::size_t place(Part part) { return static_cast<std::size_t>(part); }

// `amount` in whole parts by weight; what is left over goes to the last part that has any. Without
// any weight all of it goes to `otherwise`.
Weights divide(std::int64_t amount, const Weights& weights, Part otherwise) {
  Weights out{};
  const std::int64_t all = std::accumulate(weights.begin(), weights.end(), std::int64_t{0});
  if (all <= 0) {
    out[place(otherwise)] = amount;
    return out;
  }
  std::int64_t left = amount;
  std::size_t last = 0;
  for (std::size_t i = 0; i < parts; ++i) {
    if (weights[i] > 0) {
      out[i] = static_cast<std::int64_t>(Wide{amount} * weights[i] / all);
      left -= out[i];
      last = i;
    }
  }
  out[last] += left;
  return out;
}

}  // namespace

std::array<std::int64_t, parts> time_of_parts(const Totals& totals, Cause cause, Life life) {
  Weights us{};
  if (cause == Cause::snapshot) {
    us[place(Part::background)] = totals.life_us();
    return us;
  }
  const bool was_waited_for = cause == Cause::call;
  const std::int64_t start = totals.of(State::starting);
  us[place(Part::calls)] = totals.shared_us;
  us[place(Part::cold)] = totals.charged_start_us;
  us[place(Part::kept_warm)] = totals.of(State::idle) + totals.of(State::frozen) +
                               totals.of(State::ending) + (was_waited_for ? 0 : start);
  const std::int64_t nobodys = totals.of(State::busy) - totals.shared_us +
                               (was_waited_for ? start - totals.charged_start_us : 0);
  us[place(life == Life::over ? Part::background : Part::under_way)] = nobodys;
  return us;
}

Parts attribute(const Totals& totals, Cause cause, Life life, const Parts& before) {
  const Weights us = time_of_parts(totals, cause, life);
  Parts now = before;
  Weights weights{};
  Amount known;  // what has been divided for good: all but what was under way
  for (std::size_t i = 0; i < parts; ++i) {
    weights[i] = us[i] - (i == place(Part::under_way) ? 0 : before[i].us);
    now[i].us = us[i];
    if (i != place(Part::under_way)) {
      known += before[i];
    }
  }
  of(now, Part::under_way) = {us[place(Part::under_way)], 0, 0, 0};
  const Part home = cause == Cause::snapshot ? Part::background : Part::kept_warm;
  of(now, home).frozen_byte_seconds += totals.frozen_byte_seconds - known.frozen_byte_seconds;

  const Weights memory = divide(totals.byte_seconds - known.byte_seconds, weights, home);
  Weights working = weights;
  working[place(Part::kept_warm)] = 0;
  const Weights cpu = divide(totals.cpu_us - known.cpu_us, working, home);
  for (std::size_t i = 0; i < parts; ++i) {
    now[i].byte_seconds += memory[i];
    now[i].cpu_us += cpu[i];
  }
  return now;
}

}  // namespace thaw::meter
