// SPDX-License-Identifier: Apache-2.0
#include "generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

namespace arrivals {

namespace {

// A curve as points (value, cumulative share), in between straight.
struct Point {
  double value;
  double share;
};

template <std::size_t N>
double inverse(const std::array<Point, N>& curve, double share) {
  for (std::size_t i = 1; i < N; ++i) {
    if (share <= curve[i].share) {
      const double part = (share - curve[i - 1].share) / (curve[i].share - curve[i - 1].share);
      return curve[i - 1].value + part * (curve[i].value - curve[i - 1].value);
    }
  }
  return curve.back().value;
}

// Figure 5(a), applications without the steps that timers make: log10 of the mean calls a day. The
// curve is cut at 10^3.5 = one call in 27 s, which the busier 15 % get: they are warm under every
// policy that holds a container for minutes, and a week of them would be a hundred million calls.
constexpr std::array<Point, 13> calls_a_day = {{{-1.146, 0.0},
                                                {-0.845, 0.055},
                                                {-0.4, 0.13},
                                                {0.0, 0.195},
                                                {0.3, 0.25},
                                                {1.0, 0.38},
                                                {1.38, 0.45},
                                                {1.68, 0.50},
                                                {1.98, 0.55},
                                                {2.46, 0.64},
                                                {2.75, 0.72},
                                                {3.16, 0.81},
                                                {3.5, 1.0}}};

// The steps of figure 5(a): periods of timers in seconds, with the heights of the steps.
constexpr std::array<Point, 9> timer_periods = {{{86400, 0.25},
                                                 {43200, 0.04},
                                                 {21600, 0.03},
                                                 {3600, 0.12},
                                                 {1800, 0.06},
                                                 {900, 0.08},
                                                 {600, 0.04},
                                                 {300, 0.22},
                                                 {60, 0.16}}};

// Figure 6: the coefficient of variation of the gaps.
constexpr std::array<Point, 8> cv_timers_only = {{{0.0, 0.0},
                                                  {0.001, 0.5},
                                                  {0.15, 0.70},
                                                  {0.3, 0.78},
                                                  {0.55, 0.86},
                                                  {1.0, 0.93},
                                                  {2.0, 0.98},
                                                  {4.0, 1.0}}};
constexpr std::array<Point, 10> cv_no_timers = {{{0.0, 0.0},
                                                 {0.001, 0.11},
                                                 {0.15, 0.15},
                                                 {0.6, 0.24},
                                                 {1.0, 0.35},
                                                 {2.0, 0.55},
                                                 {3.0, 0.68},
                                                 {4.0, 0.76},
                                                 {6.0, 0.84},
                                                 {12.0, 1.0}}};

class Maker {
 public:
  explicit Maker(std::uint64_t seed) : random_(seed) {}

  App make() {
    App app;
    // Figure 3(b): 13.4 % of apps have timers only, 29 % have at least one.
    const double kind = uniform();
    app.triggers = kind < 0.134  ? Triggers::timers_only
                   : kind < 0.29 ? Triggers::timers_and_others
                                 : Triggers::no_timers;
    // Figure 8: Burr fit of the average, in MB.
    const double tail = std::pow(1 - uniform(), -1 / 0.221) - 1;
    app.memory_gb = std::min(4096.0, 107.083 * std::pow(tail, 1 / 11.652)) / 1024;
    // Figure 7: log-normal fit of the averages, in seconds.
    app.execution_s = std::min(300.0, std::exp(normal(-0.38, 2.36)));
    switch (app.triggers) {
      case Triggers::timers_only: timers_only(app); break;
      case Triggers::timers_and_others: timers_and_others(app); break;
      case Triggers::no_timers: {
        const double rare = normal(0, 1);
        no_timers(app, mean_gap(rare), rare);
        break;
      }
    }
    std::sort(app.arrivals.begin(), app.arrivals.end());
    return app;
  }

 private:
  double uniform() { return std::uniform_real_distribution<double>(0, 1)(random_); }
  double normal(double mean, double deviation) {
    return std::normal_distribution<double>(mean, deviation)(random_);
  }
  double exponential(double mean) { return -mean * std::log(1 - uniform()); }

  static double share_of(double z) { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

  // `rare` is standard normal: the larger, the longer the gap.
  static double mean_gap(double rare) {
    return 86400 / std::pow(10, inverse(calls_a_day, share_of(-rare)));
  }

  double timer_period() {
    double sum = 0;
    const double pick = uniform();
    for (const Point& period : timer_periods) {
      sum += period.share;
      if (pick <= sum) {
        return period.value;
      }
    }
    return timer_periods.back().value;
  }

  // Ticks at a fixed phase; each late or early by itself, by `cv` of the period.
  void ticks(App& app, double period, double cv) {
    const double phase = uniform() * period;
    // NOLINTNEXTLINE(bugprone-float-loop-counter): that it drifts by a millionth is no matter
    for (double t = phase; t < seconds_of_week; t += period) {
      // The gap between two ticks has twice the variance of one tick.
      const double shift = normal(0.2, 0.3) + normal(0, cv * period / std::sqrt(2));
      app.arrivals.push_back(std::clamp(t + shift, 0.0, seconds_of_week));
    }
  }

  // Chosen: a timer app whose gaps vary has several timers (up to CV 1), or is off at times.
  void timers_only(App& app) {
    const double cv = inverse(cv_timers_only, uniform());
    const double period = timer_period();
    if (cv < 0.3) {
      ticks(app, period, cv);
    } else if (cv < 1.0) {
      ticks(app, period, 0);
      ticks(app, uniform() < 0.5 ? period : timer_period(), 0);
    } else {
      ticks(app, period, 0);
      const double open = 6 * 3600 + uniform() * 4 * 3600;
      const double length = 8 * 3600;
      std::erase_if(app.arrivals, [&](double t) {
        const double hour = std::fmod(t, 86400.0);
        return hour < open || hour > open + length;
      });
    }
  }

  // Chosen: the timer makes a third to nine tenths of the calls.
  void timers_and_others(App& app) {
    const double period = timer_period();
    ticks(app, period, 0);
    const double others = 0.1 + uniform() * 0.57;
    no_timers(app, period * (1 - others) / others, normal(0, 1));
  }

  // Chosen: half of the apps follow the hours of a day (figure 4: half of the calls do), each with
  // its own high hour around noon. Time runs faster when more happens. Chosen: rare apps vary more,
  // as they are called by people in sessions; `rare` and the variation correlate by 0.6, which
  // leaves the shares of both as published.
  void no_timers(App& app, double mean, double rare) {
    const double cv = inverse(cv_no_timers, share_of(0.6 * rare + 0.8 * normal(0, 1)));
    const bool daily = uniform() < 0.5 && cv > 0.5;
    const double noon = normal(12, 4) * 3600;
    const double swing = daily ? 0.8 : 0.0;
    const auto pace = [&](double t) {
      return 1 + swing * std::cos((t - noon) * 2 * std::numbers::pi / 86400);
    };
    const bool lognormal = uniform() < 0.5;
    // Chosen: gaps inside a session are seconds to minutes, as people and batches make them.
    const double inside_s = std::exp(std::log(600.0) * uniform());
    const double ratio = std::min(0.3, inside_s / mean);
    const double calls = cv > 1 ? calls_in_session(cv, ratio) : 1;
    double t = -uniform() * mean;
    if (mean > 3600) {
      t = -uniform() * 2 * 86400;  // begin in the middle of a long life
    }
    while (true) {
      double gap = 0;
      if (cv < 0.05) {
        gap = mean + normal(0.2, 0.3);
      } else if (cv <= 1) {
        gap = std::gamma_distribution<double>(1 / (cv * cv), mean * cv * cv)(random_);
      } else if (lognormal) {
        const double variance = std::log(1 + cv * cv);
        gap = std::exp(normal(std::log(mean) - variance / 2, std::sqrt(variance)));
      } else {
        // Sessions: gaps inside one, or the long one between two.
        const bool inside = uniform() > 1 / calls;
        gap = exponential(inside ? ratio * mean : (calls - (calls - 1) * ratio) * mean);
      }
      t += std::max(0.001, gap) / std::max(0.05, pace(t));
      if (t >= seconds_of_week) {
        return;
      }
      if (t >= 0) {
        app.arrivals.push_back(t);
      }
    }
  }

  // How many calls a session has so that the gaps of all have this coefficient of variation, when a
  // gap inside a session is `ratio` of the mean gap.
  static double calls_in_session(double cv, double ratio) {
    double low = 1;
    double high = 1000;
    for (int i = 0; i < 60; ++i) {
      const double m = (low + high) / 2;
      const double between = m - (m - 1) * ratio;
      const double square = 2 * ((m - 1) * ratio * ratio + between * between) / m;
      (square < cv * cv + 1 ? low : high) = m;
    }
    return low;
  }

  std::mt19937_64 random_;
};

double cv_of_gaps(const std::vector<double>& at) {
  double mean = 0;
  double square = 0;
  const auto n = static_cast<double>(at.size() - 1);
  for (std::size_t i = 1; i < at.size(); ++i) {
    mean += (at[i] - at[i - 1]) / n;
    square += (at[i] - at[i - 1]) * (at[i] - at[i - 1]) / n;
  }
  return mean > 0 ? std::sqrt(std::max(0.0, square - mean * mean)) / mean : 0;
}

}  // namespace

Week generate(std::uint64_t seed, std::size_t apps) {
  Week week;
  week.seed = seed;
  Maker maker(seed);
  for (std::size_t i = 0; i < apps; ++i) {
    App app = maker.make();
    if (!app.arrivals.empty()) {
      week.apps.push_back(std::move(app));
    }
  }
  return week;
}

Shares measure(const Week& week) {
  Shares s;
  std::vector<double> memory;
  double with_cv = 0;
  double no_timers = 0;
  double timers = 0;
  const auto all = static_cast<double>(week.apps.size());
  for (const App& app : week.apps) {
    const auto calls = static_cast<double>(app.arrivals.size());
    s.at_most_one_a_minute += (calls <= 7 * 1440 + 1 ? 1 : 0) / all;
    s.at_most_one_an_hour += (calls <= 7 * 24 + 1 ? 1 : 0) / all;
    s.timers_only += (app.triggers == Triggers::timers_only ? 1 : 0) / all;
    s.some_timer += (app.triggers != Triggers::no_timers ? 1 : 0) / all;
    s.execution_below_1s += (app.execution_s < 1 ? 1 : 0) / all;
    memory.push_back(app.memory_gb * 1024);
    if (app.arrivals.size() < 4) {
      continue;
    }
    const double cv = cv_of_gaps(app.arrivals);
    with_cv += 1;
    s.cv_zero += cv < 0.05 ? 1 : 0;
    s.cv_above_one += cv > 1 ? 1 : 0;
    if (app.triggers == Triggers::no_timers) {
      no_timers += 1;
      s.no_timers_cv_above_one += cv > 1 ? 1 : 0;
    } else if (app.triggers == Triggers::timers_only) {
      timers += 1;
      s.timers_only_cv_zero += cv < 0.05 ? 1 : 0;
    }
  }
  s.cv_zero /= std::max(1.0, with_cv);
  s.cv_above_one /= std::max(1.0, with_cv);
  s.no_timers_cv_above_one /= std::max(1.0, no_timers);
  s.timers_only_cv_zero /= std::max(1.0, timers);
  std::sort(memory.begin(), memory.end());
  s.median_memory_mb = memory.empty() ? 0 : memory[memory.size() / 2];
  return s;
}

}  // namespace arrivals
