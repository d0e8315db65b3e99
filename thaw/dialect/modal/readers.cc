// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/readers.h"

#include <algorithm>

namespace thaw::dialect::modal {

namespace {

// A client whose connection broke is back within a moment; one that is stopped, or whose machine
// sleeps, may take the time of its own longest poll.
constexpr Duration after_broken_off = 8s;
constexpr Duration after_answer = 75s;
// A generator that was told to end, and has not so long after that, is named once more.
constexpr Duration time_to_heed = 10s;
constexpr int was_named = -1;  // instead of the number of visits

}  // namespace

void Readers::expect(const model::CallId& call) {
  calls_[call].patience = monotonic_now() + after_answer;
}

std::vector<model::CallId> Readers::take_left() {
  std::vector<model::CallId> left;
  const Instant now = monotonic_now();
  for (auto at = calls_.begin(); at != calls_.end();) {
    Call& call = at->second;
    if (call.visits > 0 || call.patience >= now) {
      ++at;
      continue;
    }
    left.push_back(at->first);
    if (call.visits == was_named) {
      at = calls_.erase(at);
      continue;
    }
    call.visits = was_named;
    call.patience = now + time_to_heed;
    ++at;
  }
  return left;
}

Readers::Visit::Visit(Readers& readers, const model::CallId& call)
    : readers_(readers), call_(call) {
  if (const auto found = readers_.calls_.find(call_); found != readers_.calls_.end()) {
    ++found->second.visits;
  }
}

Readers::Visit::~Visit() {
  const auto found = readers_.calls_.find(call_);
  if (found == readers_.calls_.end() || found->second.visits <= 0) {
    return;
  }
  Call& call = found->second;
  --call.visits;
  const Duration patience = is_answered_ ? after_answer : after_broken_off;
  call.patience = monotonic_now() + patience;
}

}  // namespace thaw::dialect::modal
