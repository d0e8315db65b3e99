// SPDX-License-Identifier: Apache-2.0
//
// Judges the keep-alive policy:   arrivals_bench [--apps N] [--out FOLDER] [SEED...]
// For each seed a week of calls is made and lived through under a fixed keep-alive, the paper's
// hybrid histogram, and Thaw's policy at several prices of memory. What counts is, over the apps of
// a week, the 75th percentile of the share of an app's calls that were cold, at equal waste: memory
// times the time that containers were held and ran nothing. Without seeds it takes those that the
// policy was tuned with and says so. Writes arrivals.json and arrivals.svg into the folder.
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>

#include "chart.h"
#include "policies.h"

namespace arrivals {
namespace {

constexpr std::array<std::uint64_t, 3> tuning_seeds = {1, 2, 3};
constexpr std::array<double, 9> fixed_minutes = {1, 2, 5, 10, 20, 30, 60, 120, 240};
constexpr std::array<int, 4> histogram_hours = {1, 2, 3, 4};
// The server's defaults (control::FleetOptions), and a start such as most Python functions have.
const ThawVariant server_defaults = {{.price_per_gb = 8, .longest_held = std::chrono::hours(1)},
                                     std::chrono::milliseconds(400),
                                     std::chrono::seconds(10)};
constexpr std::array<double, 8> prices = {32, 16, 8, 4, 2, 1, 0.5, 0.25};

struct Row {
  std::string policy;
  double parameter = 0;
  std::vector<double> shares;  // of cold calls, per app
  double waste = 0;            // GB·s per app
  double ahead = 0;            // starts ahead of a call, per app
  double cold = 0;
  double calls = 0;

  void add(const App& app, const Outcome& outcome) {
    shares.push_back(outcome.cold / outcome.calls);
    waste += outcome.idle_s * app.memory_gb;
    ahead += outcome.ahead;
    cold += outcome.cold;
    calls += outcome.calls;
  }
  void finish() {
    std::sort(shares.begin(), shares.end());
    waste /= static_cast<double>(shares.size());
    ahead /= static_cast<double>(shares.size());
  }
  double percentile(double p) const {
    return shares[std::min(shares.size() - 1,
                           static_cast<std::size_t>(p * static_cast<double>(shares.size())))];
  }
  double mean() const {
    double sum = 0;
    for (const double share : shares) {
      sum += share;
    }
    return sum / static_cast<double>(shares.size());
  }
};

struct Judged {
  std::uint64_t seed = 0;
  Shares week;
  std::vector<Row> rows;
  double fixed_p75 = 0;      // fixed 10 minutes
  double thaw_p75 = 0;       // Thaw at the same waste
  double thaw_waste = 0;     // Thaw at the same p75, as a share of the waste of fixed 10 minutes
  double histogram_p75 = 0;  // the paper's policy with 4 hours
  double thaw_p75_at_histogram = 0;  // Thaw at that policy's waste
  double ratio() const { return fixed_p75 > 0 ? thaw_p75 / fixed_p75 : 1; }
};

double between(double x, double x0, double y0, double x1, double y1) {
  return x1 == x0 ? y0 : y0 + (y1 - y0) * (x - x0) / (x1 - x0);
}

// The 75th percentile of Thaw's curve at this waste. Its rows are in order of growing waste.
double p75_at(const std::vector<Row>& rows, double waste) {
  const Row* before = nullptr;
  for (const Row& row : rows) {
    if (row.policy != "thaw") {
      continue;
    }
    if (row.waste >= waste) {
      return before == nullptr ? row.percentile(0.75)
                               : between(waste, before->waste, before->percentile(0.75), row.waste,
                                         row.percentile(0.75));
    }
    before = &row;
  }
  return before == nullptr ? 1 : before->percentile(0.75);
}

double waste_at(const std::vector<Row>& rows, double p75) {
  const Row* before = nullptr;
  for (const Row& row : rows) {
    if (row.policy != "thaw") {
      continue;
    }
    if (row.percentile(0.75) <= p75) {
      return before == nullptr ? row.waste
                               : between(p75, before->percentile(0.75), before->waste,
                                         row.percentile(0.75), row.waste);
    }
    before = &row;
  }
  return before == nullptr ? 0 : before->waste;
}

Judged judge(std::uint64_t seed, std::size_t apps) {
  Judged judged;
  judged.seed = seed;
  const Week week = generate(seed, apps);
  judged.week = measure(week);
  for (const double minutes : fixed_minutes) {
    judged.rows.push_back({.policy = "fixed", .parameter = minutes});
  }
  for (const int hours : histogram_hours) {
    judged.rows.push_back({.policy = "histogram", .parameter = static_cast<double>(hours)});
  }
  std::vector<ThawVariant> variants;
  for (const double price : prices) {
    variants.push_back({.settings = {.price_per_gb = price}});
    judged.rows.push_back({.policy = "thaw", .parameter = price});
  }
  variants.push_back(server_defaults);
  judged.rows.push_back({.policy = "server", .parameter = server_defaults.settings.price_per_gb});
  for (const App& app : week.apps) {
    auto row = judged.rows.begin();
    for (const double minutes : fixed_minutes) {
      FixedKeepAlive policy(minutes * 60);
      (row++)->add(app, simulate(app, policy));
    }
    for (const int hours : histogram_hours) {
      HybridHistogram policy(hours * 60);
      (row++)->add(app, simulate(app, policy));
    }
    for (const Outcome& outcome : simulate_thaw(app, variants)) {
      (row++)->add(app, outcome);
    }
  }
  for (Row& row : judged.rows) {
    row.finish();
  }
  const auto named = [&](std::string_view policy, double parameter) -> const Row& {
    return *std::find_if(judged.rows.begin(), judged.rows.end(), [&](const Row& row) {
      return row.policy == policy && row.parameter == parameter;
    });
  };
  const Row& ten = named("fixed", 10);
  const Row& four = named("histogram", 4);
  judged.fixed_p75 = ten.percentile(0.75);
  judged.thaw_p75 = p75_at(judged.rows, ten.waste);
  judged.thaw_waste = waste_at(judged.rows, ten.percentile(0.75)) / ten.waste;
  judged.histogram_p75 = four.percentile(0.75);
  judged.thaw_p75_at_histogram = p75_at(judged.rows, four.waste);
  return judged;
}

// The mean over the seeds, row by row.
struct MeanRow {
  std::string policy;
  double parameter = 0;
  double p75 = 0, p50 = 0, mean = 0, cold = 0, waste = 0, ahead = 0;
};

std::vector<MeanRow> over_seeds(const std::vector<Judged>& all) {
  std::vector<MeanRow> rows;
  const auto n = static_cast<double>(all.size());
  for (std::size_t i = 0; i < all.front().rows.size(); ++i) {
    MeanRow mean{.policy = all.front().rows[i].policy, .parameter = all.front().rows[i].parameter};
    for (const Judged& judged : all) {
      const Row& row = judged.rows[i];
      mean.p75 += row.percentile(0.75) / n;
      mean.p50 += row.percentile(0.5) / n;
      mean.mean += row.mean() / n;
      mean.cold += row.cold / row.calls / n;
      mean.waste += row.waste / n;
      mean.ahead += row.ahead / n;
    }
    rows.push_back(mean);
  }
  return rows;
}

std::string label(const MeanRow& row) {
  char out[32];
  const char* form = row.policy == "fixed" ? "%g min" : row.policy == "histogram" ? "%g h" : "%g";
  std::snprintf(out, sizeof out, form, row.parameter);
  return out;
}

void print(const std::vector<Judged>& all, const std::vector<MeanRow>& rows) {
  std::printf("  %-10s %9s %12s %12s %10s %10s %12s\n", "policy", "parameter", "p75 cold",
              "p50 cold", "mean cold", "GB·s/app", "ahead/app");
  for (const MeanRow& row : rows) {
    std::printf("  %-10s %9s %10.2f %% %10.2f %% %8.2f %% %9.0f %12.1f\n", row.policy.c_str(),
                label(row).c_str(), 100 * row.p75, 100 * row.p50, 100 * row.mean, row.waste,
                row.ahead);
  }
  std::printf("\n  %-12s %16s %22s %8s %18s %24s\n", "seed", "fixed 10 min p75",
              "thaw p75, equal waste", "ratio", "waste, equal p75", "histogram 4 h vs thaw");
  for (const Judged& one : all) {
    std::printf("  %-12llu %14.2f %% %20.2f %% %8.3f %16.2f %% %13.2f %% %6.2f %%\n",
                static_cast<unsigned long long>(one.seed), 100 * one.fixed_p75, 100 * one.thaw_p75,
                one.ratio(), 100 * one.thaw_waste, 100 * one.histogram_p75,
                100 * one.thaw_p75_at_histogram);
  }
}

std::string json(const std::vector<Judged>& all, const std::vector<MeanRow>& rows, bool unseen,
                 std::size_t apps) {
  std::string out = "{\"unseen_seeds\": " + std::string(unseen ? "true" : "false") +
                    ", \"apps\": " + std::to_string(apps) + ", \"rows\": [";
  char buffer[640];
  const char* comma = "";
  for (const MeanRow& row : rows) {
    std::snprintf(buffer, sizeof buffer,
                  "%s\n  {\"policy\": \"%s\", \"parameter\": %g, \"p75_cold\": %.6f, "
                  "\"p50_cold\": %.6f, \"mean_cold\": %.6f, \"cold_calls\": %.6f, "
                  "\"waste_gb_s_per_app\": %.1f, \"started_ahead_per_app\": %.2f}",
                  comma, row.policy.c_str(), row.parameter, row.p75, row.p50, row.mean, row.cold,
                  row.waste, row.ahead);
    out += buffer;
    comma = ",";
  }
  out += "],\n \"seeds\": [";
  comma = "";
  for (const Judged& one : all) {
    const Shares& s = one.week;
    std::snprintf(
        buffer, sizeof buffer,
        "%s\n  {\"seed\": %llu, \"fixed_10min_p75\": %.6f, \"thaw_p75_at_equal_waste\": %.6f, "
        "\"ratio\": %.4f, \"thaw_waste_at_equal_p75\": %.4f, \"histogram_4h_p75\": %.6f, "
        "\"thaw_p75_at_its_waste\": %.6f,\n   \"at_most_one_a_minute\": %.3f, "
        "\"at_most_one_an_hour\": %.3f, \"timers_only\": %.3f, \"some_timer\": %.3f, "
        "\"cv_zero\": %.3f, \"cv_above_one\": %.3f, \"execution_below_1s\": %.3f, "
        "\"median_memory_mb\": %.0f}",
        comma, static_cast<unsigned long long>(one.seed), one.fixed_p75, one.thaw_p75, one.ratio(),
        one.thaw_waste, one.histogram_p75, one.thaw_p75_at_histogram, s.at_most_one_a_minute,
        s.at_most_one_an_hour, s.timers_only, s.some_timer, s.cv_zero, s.cv_above_one,
        s.execution_below_1s, s.median_memory_mb);
    out += buffer;
    comma = ",";
  }
  return out + "]}\n";
}

std::string chart(const std::vector<MeanRow>& rows, std::size_t seeds) {
  std::vector<Curve> curves = {{"fixed keep-alive", "#c0392b", {}},
                               {"hybrid histogram (ATC '20)", "#7f8c8d", {}},
                               {"Thaw (price of memory)", "#2471a3", {}},
                               {"the server's defaults", "#1e8449", {}}};
  for (const MeanRow& row : rows) {
    Curve& curve = curves[row.policy == "fixed"       ? 0
                          : row.policy == "histogram" ? 1
                          : row.policy == "thaw"      ? 2
                                                      : 3];
    curve.dots.push_back({row.waste / 1000, row.p75, label(row)});
  }
  return chart_svg(
      "Cold calls against memory held in vain, mean of " + std::to_string(seeds) + " made-up weeks",
      "wasted memory, thousand GB·s per app and week",
      "75th percentile over apps of the cold share of calls", curves);
}

int run(int argc, char** argv) {
  std::size_t apps = 300;
  std::string folder = "build/bench";
  std::vector<std::uint64_t> seeds;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    std::uint64_t value = 0;
    const auto read = [&](std::string_view digits) {
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), value);
      return error == std::errc() && end == digits.data() + digits.size();
    };
    if (word == "--apps" && i + 1 < argc && read(argv[i + 1]) && value > 0) {
      apps = value;
      ++i;
    } else if (word == "--out" && i + 1 < argc) {
      folder = argv[++i];
    } else if (read(word)) {
      seeds.push_back(value);
    } else if (!word.starts_with("--benchmark_")) {  // bench/run's own
      std::fprintf(stderr, "usage: %s [--apps N] [--out FOLDER] [SEED...]\n", argv[0]);
      return 2;
    }
  }
  const bool unseen =
      !seeds.empty() && std::none_of(seeds.begin(), seeds.end(), [](std::uint64_t seed) {
        return std::find(tuning_seeds.begin(), tuning_seeds.end(), seed) != tuning_seeds.end();
      });
  if (seeds.empty()) {
    seeds.assign(tuning_seeds.begin(), tuning_seeds.end());
  }
  std::printf("keep-alive over %zu weeks of %zu apps (%s)\n", seeds.size(), apps,
              unseen ? "seeds that the policy was not tuned with"
                     : "with seeds the policy was TUNED with; give others to judge it");
  std::vector<Judged> all;
  for (const std::uint64_t seed : seeds) {
    all.push_back(judge(seed, apps));
  }
  const std::vector<MeanRow> rows = over_seeds(all);
  print(all, rows);
  std::vector<double> ratios;
  for (const Judged& one : all) {
    ratios.push_back(one.ratio());
  }
  std::sort(ratios.begin(), ratios.end());
  std::printf("\n  cold share at equal waste, Thaw to fixed 10 minutes: median %.3f, worst %.3f\n",
              (ratios[(ratios.size() - 1) / 2] + ratios[ratios.size() / 2]) / 2, ratios.back());
  std::filesystem::create_directories(folder);
  std::ofstream(folder + "/arrivals.json") << json(all, rows, unseen, apps);
  std::ofstream(folder + "/arrivals.svg") << chart(rows, seeds.size());
  std::printf("  %s/arrivals.json, %s/arrivals.svg\n", folder.c_str(), folder.c_str());
  return 0;
}

}  // namespace
}  // namespace arrivals

int main(int argc, char** argv) { return arrivals::run(argc, argv); }
