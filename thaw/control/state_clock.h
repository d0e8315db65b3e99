// SPDX-License-Identifier: Apache-2.0
//
// StateClock: how long a container was in each of its states, and what of it is metered. The sum of
// all states is the container's life; the clock is monotonic and given from outside.
#pragma once

#include <map>
#include <string_view>

#include "thaw/base/time.h"

namespace thaw::control {

// standby: it was restored ahead of a call, is frozen, and nobody has had it yet (standbys.h).
enum class Status { starting, warm, frozen, busy, standby, stopping, stopped };
std::string_view status_name(Status status);

using StateTimes = std::map<Status, Duration>;

// What a container is charged for: it holds its memory as long as it lives, and its share of the
// processor except while it is frozen. Nobody has asked for one that stands by: while it is frozen
// it costs nothing; what it does before and after that it is charged for as any other is.
struct Metered {
  Duration processor{};
  Duration memory{};
};
inline Metered metered(const StateTimes& times) {
  Metered sum;
  for (const auto& [status, time] : times) {
    if (status == Status::standby) {
      continue;
    }
    sum.memory += time;
    sum.processor += status == Status::frozen ? Duration::zero() : time;
  }
  return sum;
}

class StateClock {
 public:
  // The first one begins its life.
  void enter(Status status, Instant now) {
    count_until(now);
    status_ = status;
  }
  bool has_begun() const { return since_ != Instant{}; }
  StateTimes times(Instant now) const {
    StateClock copy = *this;
    copy.count_until(now);
    return copy.times_;
  }

 private:
  void count_until(Instant now) {
    if (since_ != Instant{} && status_ != Status::stopped) {
      times_[status_] += now - since_;
    }
    since_ = now;
  }

  Status status_ = Status::starting;
  Instant since_{};
  StateTimes times_;
};

}  // namespace thaw::control
