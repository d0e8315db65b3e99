// SPDX-License-Identifier: Apache-2.0
//
// What one function's idle times were: a histogram of the gaps between the end of a call and the
// next call, with bins that grow by 3 % from one second to two weeks, so that seconds and days are
// told apart equally well; and the moments of the last calls that ended a real gap, in which a beat
// (a timer) is looked for. Later gaps weigh more. A gap that a beat explains says nothing about the
// rest, only that nothing else came: it is kept apart. A plain value; bounded (about 4 KB).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "thaw/base/time.h"

namespace thaw::policy {

// A rhythm in the calls: one is due every `period` from `tick` on, and came `reliable` of the
// times.
struct Beat {
  Duration period{};
  WallTime tick{};       // a moment of the past at which one was due
  Duration tolerance{};  // how far from the tick they came
  double reliable = 0;   // 0..1

  WallTime next_after(WallTime at) const;
  bool explains(WallTime at) const;
};

class IdleHistory {
 public:
  static constexpr std::size_t bins = 476;
  static constexpr std::size_t kept_moments = 48;
  static double edge_s(std::size_t bin);  // where a bin begins; edge_s(bins) is the end of all
  static std::size_t bin_of(Duration gap);

  // A call came at `at`, after nothing had run since `idle_since`.
  void arrived(WallTime idle_since, WallTime at);

  double gaps() const { return total_ / weight_; }  // how many, the old ones faded
  double came(std::size_t bin) const;               // gaps of that length, faded likewise
  double explained(std::size_t bin) const;          // those that the beat explains
  const std::optional<Beat>& beat() const { return beat_; }

  // For keeping it across restarts: pairs of numbers only, in a form of our own.
  struct Kept {
    std::vector<std::pair<std::uint16_t, float>> came;
    std::vector<std::pair<std::uint16_t, float>> explained;
    std::vector<std::int64_t> moments_us;
  };
  Kept kept() const;
  static IdleHistory restore(const Kept& kept);  // skips what makes no sense

 private:
  std::array<float, bins> came_{};
  std::array<float, bins> explained_{};
  double weight_ = 1;  // of the next gap; it grows, which fades the old ones
  double total_ = 0;
  std::deque<WallTime> moments_;
  int unseen_ = 0;  // moments since a beat was looked for
  std::optional<Beat> beat_;
};

}  // namespace thaw::policy
