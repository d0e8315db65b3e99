// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/usage.h"

#include <algorithm>

namespace thaw::meter {

CallSums& CallSums::operator+=(const CallSums& more) {
  calls += more.calls;
  failures += more.failures;
  queued_us += more.queued_us;
  run_us += more.run_us;
  share_us += more.share_us;
  cold_us += more.cold_us;
  bytes_in += more.bytes_in;
  bytes_out += more.bytes_out;
  uncounted += more.uncounted;
  tokens_in += more.tokens_in;
  tokens_out += more.tokens_out;
  tokens_cached += more.tokens_cached;
  billed_us += more.billed_us;
  billed_calls += more.billed_calls;
  return *this;
}

std::int64_t rounded(std::int64_t us, const Rounding& rounding) {
  std::int64_t out = std::max(us, rounding.least_us);
  if (rounding.to_us > 0 && out % rounding.to_us != 0) {
    out += rounding.to_us - out % rounding.to_us;
  }
  return out;
}

}  // namespace thaw::meter
