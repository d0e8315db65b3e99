// SPDX-License-Identifier: Apache-2.0
#include "policies.h"

#include <algorithm>
#include <cmath>

namespace arrivals {

using thaw::from_seconds;

namespace {

thaw::WallTime wall(double seconds) {
  // A Monday, so that days and weeks begin where people's do.
  constexpr double monday = 1563148800;
  return thaw::WallTime(std::chrono::microseconds(std::int64_t((monday + seconds) * 1e6)));
}

// As the server does (KeepAlive::last_of): spans that begin sooner begin at once.
void keep_at_least(thaw::policy::KeepAlivePlan& plan, thaw::Duration shortest) {
  if (shortest == thaw::Duration::zero()) {
    return;
  }
  thaw::policy::WarmSpan first{{}, shortest};
  while (!plan.spans.empty() && plan.spans.front().from <= shortest) {
    first.until = std::max(first.until, plan.spans.front().until);
    plan.spans.erase(plan.spans.begin());
  }
  plan.spans.insert(plan.spans.begin(), first);
}

}  // namespace

void HybridHistogram::gap_ended(double idle_since, double at) {
  const double gap = at - idle_since;
  const auto bin = std::size_t(gap / 60);
  if (bin < counts_.size()) {
    sum_of_squares_ += 2 * counts_[bin] + 1;
    counts_[bin] += 1;
    inside_ += 1;
  } else {
    outside_ += 1;
  }
  forecast_ = forecast_ == 0 ? gap : 0.7 * forecast_ + 0.3 * gap;
  changed_ = true;
}

thaw::policy::WarmSpan HybridHistogram::from_histogram() const {
  double seen = 0;
  double head = -1;
  double tail = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (head < 0 && seen >= 0.05 * inside_ && seen > 0) {
      head = double(i);
    }
    if (seen >= 0.99 * inside_) {
      tail = double(i + 1);
      break;
    }
  }
  return {from_seconds(0.9 * head * 60), from_seconds(1.1 * tail * 60)};
}

const thaw::policy::KeepAlivePlan& HybridHistogram::plan(double) {
  if (!changed_) {
    return plan_;
  }
  changed_ = false;
  const double all = inside_ + outside_;
  const auto n = double(counts_.size());
  const double mean = inside_ / n;
  const double cv =
      mean > 0 ? std::sqrt(std::max(0.0, sum_of_squares_ / n - mean * mean)) / mean : 0;
  if (all >= 5 && outside_ > 0.5 * all) {
    plan_.spans = {{from_seconds(0.85 * forecast_), from_seconds(1.15 * forecast_)}};
  } else if (all < 5 || cv < 2) {
    plan_.spans = {{from_seconds(0), from_seconds(range_ * 60)}};
  } else {
    plan_.spans = {from_histogram()};
  }
  return plan_;
}

std::vector<Outcome> simulate_thaw(const App& app, const std::vector<ThawVariant>& variants) {
  thaw::policy::IdleHistory history;
  std::vector<thaw::policy::KeepAlivePlan> plans(variants.size());
  std::vector<Outcome> out(variants.size());
  double gaps = 0;
  double planned = -1;
  const auto pass = [&](double idle_since, double at, bool call) {
    const bool fresh = history.beat() && at - idle_since > 10;
    if (fresh || gaps >= planned + std::max(1.0, std::min(gaps, 200.0) / 16)) {
      const thaw::policy::Outlook outlook(history, wall(idle_since));
      for (std::size_t i = 0; i < variants.size(); ++i) {
        const ThawVariant& variant = variants[i];
        const thaw::policy::KeepAliveCosts costs{app.memory_gb, variant.start_time};
        plans[i] = thaw::policy::plan_keep_alive(variant.settings, outlook, costs);
        keep_at_least(plans[i], variant.shortest);
      }
      planned = gaps;
    }
    for (std::size_t i = 0; i < variants.size(); ++i) {
      count(out[i], plans[i], at - idle_since, call);
    }
    if (call) {
      history.arrived(wall(idle_since), wall(at));
      gaps += 1;
    }
  };
  walk(app, pass);
  for (Outcome& one : out) {
    one.calls = static_cast<double>(app.arrivals.size());
    one.cold += 1;  // the first
  }
  return out;
}

}  // namespace arrivals
