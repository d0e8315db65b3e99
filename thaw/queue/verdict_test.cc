// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/verdict.h"

#include <doctest/doctest.h>

#include <limits>

using namespace thaw;
using namespace thaw::queue::detail;
using model::OutcomeKind;

TEST_CASE("a retry's delay grows by the back-off and stops at the longest") {
  const model::RetryPolicy policy{10, 1s, 10s, 2.0};
  CHECK(retry_delay(policy, 1) == 1s);
  CHECK(retry_delay(policy, 2) == 2s);
  CHECK(retry_delay(policy, 4) == 8s);
  CHECK(retry_delay(policy, 5) == 10s);
  CHECK(retry_delay(policy, 1'000'000) == 10s);
}

TEST_CASE("a policy out of its senses delays by something between nothing and the longest") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double backoff : {-1.0, 0.0, infinity, -infinity, infinity - infinity}) {
    for (const Duration initial : {Duration(-5s), Duration(0s), Duration(1h)}) {
      const model::RetryPolicy policy{10, initial, 10s, backoff};
      for (const int number : {1, 2, 100}) {
        CHECK(retry_delay(policy, number) >= 0s);
        CHECK(retry_delay(policy, number) <= 10s);
      }
    }
  }
}

TEST_CASE("what follows an outcome") {
  using enum OutcomeKind;
  using enum Verdict::Next;
  const model::RetryPolicy policy{2, 1s, 10s, 2.0};
  const auto next = [&](OutcomeKind outcome, Delivery delivery) {
    return judge(policy, 5, delivery, outcome).next;
  };
  CHECK(next(success, {1, 0, false}) == end);
  CHECK(next(terminated, {1, 0, false}) == end);
  CHECK(next(failure, {1, 0, false}) == retry);
  CHECK(next(timeout, {2, 1, false}) == retry);
  CHECK(next(failure, {3, 2, false}) == end);
  CHECK(next(internal_failure, {1, 0, false}) == redeliver);
  CHECK(next(internal_failure, {5, 0, false}) == redeliver);
  CHECK(next(internal_failure, {6, 0, false}) == end);
  CHECK(next(internal_failure, {7, 2, false}) == redeliver);
  CHECK(next(failure, {1, 0, true}) == end);
  CHECK(next(internal_failure, {1, 0, true}) == end);
  CHECK(judge(policy, 5, {2, 1, false}, failure).delay == 2s);
  CHECK(next(expired, {1, 0, false}) == end);
  CHECK(next(failure, {2, 1, false, 3s}) == retry);
  CHECK(next(failure, {2, 1, false, 2s}) == end);
  CHECK(judge(policy, 0, {1, 0, false}, internal_failure).next == end);
}
