// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/every.h"

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
  Failures failures(std::move(name));
  while (true) {
    THAW_CO_TRY_VOID(co_await sleep_for(period));
    const Result<void> outcome = co_await round();
    if (co_await is_cancelled()) {
      co_return Error::cancelled("a background task was told to end");
    }
    failures.note(outcome);
  }
}

}  // namespace thaw::async
