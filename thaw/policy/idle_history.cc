// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/idle_history.h"

#include <algorithm>
#include <cmath>

namespace thaw::policy {

namespace {

constexpr double growth = 1.03;
constexpr double fading = 0.99;                 // of a gap's weight with each later one
constexpr Duration shortest_moment_gap = 1min;  // shorter gaps need no prediction

// What people give timers; a beat of two minutes or less is a function that is always warm.
constexpr std::array<Duration, 14> usual_periods = {5min, 10min, 15min, 20min, 30min, 1h,  2h,
                                                    3h,   4h,    6h,    8h,    12h,   24h, 168h};

std::int64_t us(Duration d) {
  return std::chrono::duration_cast<std::chrono::microseconds>(d).count();
}

// The typical gap of the last calls, for beats that nobody would guess.
std::optional<Duration> steady_gap(const std::deque<WallTime>& moments) {
  if (moments.size() < 4) {
    return std::nullopt;
  }
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 1; i < moments.size(); ++i) {
    gaps.push_back((moments[i] - moments[i - 1]).count());
  }
  std::sort(gaps.begin(), gaps.end());
  const std::int64_t median = gaps[gaps.size() / 2];
  std::int64_t sum = 0;
  std::int64_t count = 0;
  for (const std::int64_t gap : gaps) {
    if (std::abs(gap - median) <= median / 50) {
      sum += gap;
      ++count;
    }
  }
  return std::chrono::microseconds(sum / std::max<std::int64_t>(1, count));
}

std::optional<Beat> try_period(const std::deque<WallTime>& moments, Duration period) {
  const std::int64_t p = us(period);
  const std::int64_t tolerance = std::clamp<std::int64_t>(p / 100, us(2s), us(2min));
  const std::int64_t span = (moments.back() - moments.front()).count();
  if (p < us(2min) || span < 2 * p) {
    return std::nullopt;
  }
  std::vector<std::int64_t> phases;
  phases.reserve(moments.size() * 2);
  for (const WallTime& moment : moments) {
    phases.push_back(moment.time_since_epoch().count() % p);
  }
  std::sort(phases.begin(), phases.end());
  const std::size_t n = phases.size();
  for (std::size_t i = 0; i < n; ++i) {
    phases.push_back(phases[i] + p);
  }
  std::size_t best = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0, j = 0; i < n; ++i) {
    while (j < i + n && phases[j] - phases[i] <= 2 * tolerance) {
      ++j;
    }
    if (j - i > best) {
      best = j - i;
      begin = i;
    }
  }
  const std::int64_t middle = (phases[begin] + phases[begin + best - 1]) / 2;
  // How many different ticks were met, of those that there were.
  std::int64_t met = 0;
  std::int64_t last_tick = -1;
  for (const WallTime& moment : moments) {
    const std::int64_t since = moment.time_since_epoch().count() - middle + p / 2;
    const std::int64_t number = since / p;
    if (std::abs(since % p - p / 2) <= tolerance && number != last_tick) {
      ++met;
      last_tick = number;
    }
  }
  const auto due = static_cast<double>(span) / static_cast<double>(p) + 1;
  const double reliable = static_cast<double>(met) / due;
  if (met < 3 || reliable < 0.6) {
    return std::nullopt;
  }
  Beat beat;
  beat.period = period;
  beat.tick = WallTime(std::chrono::microseconds(middle));
  beat.tolerance = std::chrono::microseconds(tolerance);
  beat.reliable = std::min(1.0, static_cast<double>(met) / (due + 0.5));
  return beat;
}

// The rhythm of these moments (in order), if most of its ticks were met.
std::optional<Beat> find_beat(const std::deque<WallTime>& moments) {
  if (moments.size() < 3) {
    return std::nullopt;
  }
  for (const Duration period : usual_periods) {
    if (auto beat = try_period(moments, period)) {
      return beat;
    }
  }
  if (const auto period = steady_gap(moments)) {
    return try_period(moments, *period);
  }
  return std::nullopt;
}

}  // namespace

WallTime Beat::next_after(WallTime at) const {
  const auto p = std::chrono::duration_cast<std::chrono::microseconds>(period);
  const auto since = at - tick;
  auto ticks = since / p;
  if (since.count() >= 0) {
    ++ticks;
  }
  return tick + ticks * p;
}

bool Beat::explains(WallTime at) const {
  return next_after(at) - at <= tolerance || at - (next_after(at) - period) <= tolerance;
}

double IdleHistory::edge_s(std::size_t bin) {
  static const std::array<double, bins + 1> edges = [] {
    std::array<double, bins + 1> table{};
    for (std::size_t i = 1; i <= bins; ++i) {
      table[i] = std::pow(growth, static_cast<double>(i) - 1);
    }
    return table;
  }();
  return edges[bin];
}

std::size_t IdleHistory::bin_of(Duration gap) {
  const double s = to_seconds(gap);
  if (s < 1) {
    return 0;
  }
  static const double log_growth = std::log(growth);
  return std::min(bins - 1, static_cast<std::size_t>(std::log(s) / log_growth) + 1);
}

double IdleHistory::came(std::size_t bin) const { return came_[bin] / weight_; }
double IdleHistory::explained(std::size_t bin) const { return explained_[bin] / weight_; }

void IdleHistory::arrived(WallTime idle_since, WallTime at) {
  const Duration gap = std::max<Duration>(Duration::zero(), at - idle_since);
  auto& where = beat_ && gap > shortest_moment_gap && beat_->explains(at) ? explained_ : came_;
  where[bin_of(gap)] += static_cast<float>(weight_);
  total_ += weight_;
  weight_ /= fading;
  if (weight_ > 1e6) {
    total_ /= weight_;
    for (std::size_t i = 0; i < bins; ++i) {
      came_[i] = static_cast<float>(came_[i] / weight_);
      explained_[i] = static_cast<float>(explained_[i] / weight_);
    }
    weight_ = 1;
  }
  if (gap > shortest_moment_gap || moments_.empty()) {
    moments_.push_back(at);
    if (moments_.size() > kept_moments) {
      moments_.pop_front();
    }
    // Looking costs some ten microseconds; late by a few calls is soon enough.
    if (moments_.size() < 10 || ++unseen_ >= 4) {
      unseen_ = 0;
      beat_ = find_beat(moments_);
    }
  }
}

IdleHistory::Kept IdleHistory::kept() const {
  Kept out;
  for (std::size_t i = 0; i < bins; ++i) {
    if (came(i) > 0.01) {
      out.came.emplace_back(static_cast<std::uint16_t>(i), static_cast<float>(came(i)));
    }
    if (explained(i) > 0.01) {
      out.explained.emplace_back(static_cast<std::uint16_t>(i), static_cast<float>(explained(i)));
    }
  }
  for (const WallTime& moment : moments_) {
    out.moments_us.push_back(moment.time_since_epoch().count());
  }
  return out;
}

IdleHistory IdleHistory::restore(const Kept& kept) {
  IdleHistory history;
  const auto take = [&](const auto& from, std::array<float, bins>& into) {
    for (const auto& [bin, weight] : from) {
      if (bin < bins && std::isfinite(weight) && weight > 0 && weight < 1e6F) {
        history.total_ += static_cast<double>(weight) - static_cast<double>(into[bin]);
        into[bin] = weight;
      }
    }
  };
  take(kept.came, history.came_);
  take(kept.explained, history.explained_);
  for (const std::int64_t moment : kept.moments_us) {
    const WallTime at{std::chrono::microseconds(moment)};
    const bool in_order = history.moments_.empty() || history.moments_.back() < at;
    if (in_order && moment >= 0 && history.moments_.size() < kept_moments) {
      history.moments_.push_back(at);
    }
  }
  history.beat_ = find_beat(history.moments_);
  return history;
}

}  // namespace thaw::policy
