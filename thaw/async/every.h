// SPDX-License-Identifier: Apache-2.0
//
// every(): the loop of a background task. A round that fails costs that round: a disk that is full
// for a moment must not end time limits for good. The 1st, 2nd, 4th, 8th … failure in a row is
// logged, and that it works again. Ends only when the task is cancelled.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "thaw/async/task.h"

namespace thaw::async {

struct Pace {
  Duration period{};  // between two rounds
  // The pause is so many times what the last round took, if that is longer: whatever there is to
  // do, it takes a small part of the time.
  int rest_per_work = 0;
  Duration first{};  // before the first round
};

// `round` returns a task and is no coroutine itself: its captures may be gone by the first wait.
Task<void> every(Pace pace, std::string name, std::function<Task<void>()> round);
// The first round comes after a period too.
Task<void> every(Duration period, std::string name, std::function<Task<void>()> round);

// How often in a row something failed; says it aloud ever more seldom.
class Failures {
 public:
  explicit Failures(std::string name) : name_(std::move(name)) {}
  // Takes note of one outcome.
  void note(const Result<void>& outcome);
  std::uint64_t in_a_row() const { return in_a_row_; }  // tidy(unused): what a log line says

 private:
  std::string name_;
  std::uint64_t in_a_row_ = 0;
};

}  // namespace thaw::async
