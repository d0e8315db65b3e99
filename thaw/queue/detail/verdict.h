// SPDX-License-Identifier: Apache-2.0
//
// What follows the outcome of one delivery: the input ends, is tried again after a delay (the
// user's retries), or is delivered again at once (a failure that is not the user's). Pure.
#pragma once

#include "thaw/model/call.h"

namespace thaw::queue::detail {

struct Verdict {
  enum class Next { end, retry, redeliver } next = Next::end;
  Duration delay{};  // before a retry
};

struct Delivery {
  int attempts = 1;                 // deliveries so far, this one included
  int retries = 0;                  // of these, how many were the user's retries
  bool is_over = false;             // it was cancelled, or may not be delivered again
  Duration left = Duration::max();  // until nothing of the call is delivered any more
};

Verdict judge(const model::RetryPolicy& policy, int redeliveries, const Delivery& delivery,
              model::OutcomeKind outcome);

// Before the retry with this number (from 1): initial * backoff^(number - 1), at most max_delay.
Duration retry_delay(const model::RetryPolicy& policy, int number);

}  // namespace thaw::queue::detail
