// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/verdict.h"

#include <algorithm>
#include <cmath>

namespace thaw::queue::detail {

Duration retry_delay(const model::RetryPolicy& policy, int number) {
  const double most = std::clamp(to_seconds(policy.max_delay), 0.0, 86'400.0);
  const double first = std::max(to_seconds(policy.initial_delay), 0.0);
  const double delay = first * std::pow(std::max(policy.backoff, 0.0), number - 1);
  // Written so that a delay that is not a number becomes the longest.
  return from_seconds(delay < most ? delay : most);
}

Verdict judge(const model::RetryPolicy& policy, int redeliveries, const Delivery& delivery,
              model::OutcomeKind outcome) {
  using enum model::OutcomeKind;
  if (outcome == success || outcome == terminated || outcome == expired || delivery.is_over) {
    return {};
  }
  if (outcome == internal_failure) {
    const int lost = delivery.attempts - delivery.retries;
    return {lost > redeliveries ? Verdict::Next::end : Verdict::Next::redeliver, Duration{}};
  }
  // A retry that would come too late is none: the call ends as this delivery has.
  const Duration delay = retry_delay(policy, delivery.retries + 1);
  if (delivery.retries < policy.max_retries && delay < delivery.left) {
    return {Verdict::Next::retry, delay};
  }
  return {};
}

}  // namespace thaw::queue::detail
