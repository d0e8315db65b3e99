// SPDX-License-Identifier: Apache-2.0
//
// What a receiver's answer to a callback means, and when the next try is. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/base/time.h"

namespace thaw::gateway {

struct CallbackAnswer {
  enum class Kind {
    taken,
    later,    // to be tried again
    never,    // another try would end alike
    untried,  // there was no room here to try it; soon again, and no fault of its receiver's
  };
  Kind kind = Kind::taken;
  std::string why = {};
  std::optional<Duration> after = {};  // it asked not to be asked again before
};

// `retry_after`: the header, seconds or a date; empty: none.
CallbackAnswer judge_status(int status, std::string_view retry_after, WallTime now);

constexpr Duration first_callback_pause = std::chrono::seconds(2);
constexpr Duration longest_callback_pause = std::chrono::hours(1);

// After so many tries of one entry that failed; `random` is from 0 to 1.
Duration callback_pause(int failures, std::optional<Duration> asked, double random);

// How long a receiver rests that has failed so often in a row; zero: it does not.
constexpr int failures_to_rest = 5;
Duration receiver_rest(int failures, double random);

}  // namespace thaw::gateway
