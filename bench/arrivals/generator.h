// SPDX-License-Identifier: Apache-2.0
//
// Arrivals of a made-up week with the published shares of a large cloud:
//   Shahrad et al., "Serverless in the Wild: Characterizing and Optimizing the Serverless Workload
//   at a Large Cloud Provider", USENIX ATC 2020; figures 3(b) triggers of apps, 5(a) calls a day,
//   6 variation of the gaps between calls, 7 execution time, 8 memory. The curves of 5(a) and 6 are
//   read off the plots that the authors published with the trace of 2019.
// What the paper does not publish is chosen here and said at its place: the shape of gaps beyond
// their coefficient of variation, phases, the daily rhythm of one app, and that triggers decide the
// rate only as far as timers own the steps of figure 5(a). Equal seeds give equal weeks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace arrivals {

inline constexpr double seconds_of_week = 7 * 86400.0;

enum class Triggers { timers_only, timers_and_others, no_timers };

struct App {
  Triggers triggers = Triggers::no_timers;
  double memory_gb = 0;
  double execution_s = 0;        // mean of its calls
  std::vector<double> arrivals;  // seconds since the start, in order; at least one
};

struct Week {
  std::uint64_t seed = 0;
  std::vector<App> apps;  // those that were called at least once
};

Week generate(std::uint64_t seed, std::size_t apps);

// What the made week has of the published shares, to be compared with them.
struct Shares {
  double at_most_one_a_minute = 0;  // of apps; published: 0.81
  double at_most_one_an_hour = 0;   // published: 0.45
  double timers_only = 0;           // published: 0.13
  double some_timer = 0;            // published: 0.29
  double cv_zero = 0;       // coefficient of variation of gaps < 0.05; published: about 0.25
  double cv_above_one = 0;  // published: about 0.42
  double no_timers_cv_above_one = 0;  // published: about 0.65
  double timers_only_cv_zero = 0;     // published: about 0.6
  double execution_below_1s = 0;      // published: 0.5
  double median_memory_mb = 0;        // published, averages: about 140
};
Shares measure(const Week& week);

}  // namespace arrivals
