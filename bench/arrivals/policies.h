// SPDX-License-Identifier: Apache-2.0
//
// The policies that are compared: a fixed keep-alive, the hybrid histogram of the paper, and
// Thaw's.
#pragma once

#include <vector>

#include "simulate.h"

namespace arrivals {

class FixedKeepAlive final : public Policy {
 public:
  explicit FixedKeepAlive(double seconds)
      : plan_(thaw::policy::obey_window(thaw::from_seconds(seconds))) {}
  void gap_ended(double, double) override {}
  const thaw::policy::KeepAlivePlan& plan(double) override { return plan_; }

 private:
  thaw::policy::KeepAlivePlan plan_;
};

// Section 4.2 of the paper: bins of a minute up to `range`; pre-warm at the 5th percentile less
// 10 %, keep until the 99th plus 10 %; a standard keep-alive (the range) while the histogram is not
// representative (coefficient of variation of its bins below 2); for gaps that are mostly out of
// range a time-series forecast with 15 % on both sides. In place of their ARIMA model the forecast
// is the mean of the last gaps, weighted towards the late ones. The paper gives no smallest number
// of gaps; ours is 5.
class HybridHistogram final : public Policy {
 public:
  explicit HybridHistogram(int range_min) : range_(range_min), counts_(std::size_t(range_min)) {}
  void gap_ended(double idle_since, double at) override;
  const thaw::policy::KeepAlivePlan& plan(double idle_since) override;

 private:
  thaw::policy::WarmSpan from_histogram() const;
  int range_;
  std::vector<double> counts_;
  double inside_ = 0;
  double outside_ = 0;
  double sum_of_squares_ = 0;
  double forecast_ = 0;
  bool changed_ = true;
  thaw::policy::KeepAlivePlan plan_;
};

// Thaw's policy at several prices at once, as they share the history. A plan is made for each gap
// where it depends on the time of day, else when a sixteenth of the history is new.
struct ThawVariant {
  thaw::policy::KeepAliveSettings settings = {};
  thaw::Duration start_time{};  // that was measured; 0: unknown
  thaw::Duration shortest{};    // for which a container is kept in any case
};
std::vector<Outcome> simulate_thaw(const App& app, const std::vector<ThawVariant>& variants);

}  // namespace arrivals
