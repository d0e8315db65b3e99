// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/every.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "thaw/base/log.h"

namespace thaw::async {

void Failures::note(const Result<void>& outcome) {
  if (outcome) {
    if (const std::uint64_t failed = std::exchange(in_a_row_, 0); failed > 0) {
      log_info("a background task works again",
               {{"task", name_}, {"failures", std::to_string(failed)}});
    }
    return;
  }
  ++in_a_row_;
  if (std::has_single_bit(in_a_row_)) {
    log_warning("a background task failed and will be tried again",
                {{"task", name_},
                 {"failures", std::to_string(in_a_row_)},
                 {"error", outcome.error().to_string()}});
  }
}

Task<void> every(Duration period, std::string name, std::function<Task<void>()> round) {
  return every(Pace{.period = period, .first = period}, std::move(name), std::move(round));
}

Task<void> every(Pace pace, std::string name, std::function<Task<void>()> round) {
  Failures failures(std::move(name));
  Duration pause = pace.first;
  while (true) {
    THAW_CO_TRY_VOID(co_await sleep_for(pause));
    const Instant began = monotonic_now();
    const Result<void> outcome = co_await round();
    if (co_await is_cancelled()) {
      co_return Error::cancelled("a background task was told to end");
    }
    failures.note(outcome);
    pause = std::max<Duration>(pace.period, (monotonic_now() - began) * pace.rest_per_work);
  }
}

}  // namespace thaw::async
