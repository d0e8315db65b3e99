// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/keep_alive.h"

#include <algorithm>
#include <cmath>

namespace thaw::policy {

namespace {

constexpr std::size_t bins = IdleHistory::bins;

using Cell = Outlook::Cell;

struct Prior {
  double gaps = 2;        // counts as much as that many gaps
  double middle_s = 600;  // half of its gaps are shorter
  double steepness = 0.6;
};

// The chance that a gap of most functions lasts longer than the beginning of a bin.
const std::array<double, bins + 1>& usually_quiet() {
  static const std::array<double, bins + 1> table = [] {
    std::array<double, bins + 1> values{};
    for (std::size_t i = 0; i <= bins; ++i) {
      const double s = IdleHistory::edge_s(i);
      values[i] = 1 / (1 + std::pow(s / Prior{}.middle_s, Prior{}.steepness));
    }
    return values;
  }();
  return table;
}

// Few gaps of about the same length mean a length nearby: each counts for its neighbours, too.
void blur(std::array<double, bins>& values, std::size_t reach) {
  if (reach == 0) {
    return;
  }
  std::array<double, bins> out{};
  const double norm = 1.0 / static_cast<double>((reach + 1) * (reach + 1));
  for (std::size_t i = 0; i < bins; ++i) {
    if (values[i] <= 0) {
      continue;
    }
    const std::size_t low = i > reach ? i - reach : 0;
    const std::size_t high = std::min(bins - 1, i + reach);
    for (std::size_t j = low; j <= high; ++j) {
      const std::size_t away = j > i ? j - i : i - j;
      out[j] += values[i] * static_cast<double>(reach + 1 - away) * norm;
    }
  }
  values = out;
}

std::vector<Cell> cells_of(const IdleHistory& history) {
  constexpr Prior prior;
  const std::array<double, bins + 1>& usual = usually_quiet();
  std::array<double, bins> came{};
  std::array<double, bins> gone{};
  double known = 0;
  for (std::size_t i = 0; i < bins; ++i) {
    came[i] = history.came(i);
    gone[i] = history.explained(i);
    known += came[i];
  }
  const std::size_t reach = known < 4 ? 6 : known < 12 ? 4 : known < 40 ? 2 : 1;
  blur(came, reach);
  std::vector<Cell> cells(bins);
  double exposed = prior.gaps;
  for (std::size_t i = 0; i < bins; ++i) {
    exposed += came[i] + gone[i];
  }
  for (std::size_t i = 0; i < bins; ++i) {
    const double from = IdleHistory::edge_s(i);
    const double until = IdleHistory::edge_s(i + 1);
    const double usual_events = prior.gaps * (usual[i] - usual[i + 1]);
    const double events = came[i] + usual_events;
    cells[i] = {from, until, std::clamp(events / std::max(exposed, 1e-9), 0.0, 1.0)};
    exposed -= came[i] + gone[i] + usual_events;
  }
  return cells;
}

// The best set of cells to be warm in: dynamic programming over "warm" and "gone" from the end
// back; `start` is what it costs to become warm again without a call.
std::vector<WarmSpan> best_spans(const std::vector<Cell>& cells, double price_per_s, double start,
                                 double longest_s) {
  std::size_t n = 0;
  while (n < cells.size() && cells[n].from_s < longest_s) {
    ++n;
  }
  std::vector<double> quiet(n + 1, 1);
  for (std::size_t i = 0; i < n; ++i) {
    quiet[i + 1] = quiet[i] * (1 - cells[i].chance);
  }
  std::vector<char> stay(n + 1, 0);
  std::vector<char> begin(n + 1, 0);
  double warm = 0;  // value of what follows, when a container is there at this cell's beginning
  double gone = 0;
  for (std::size_t i = n; i-- > 0;) {
    const double time = quiet[i] * (1 - cells[i].chance / 2) * (cells[i].until_s - cells[i].from_s);
    const double worth = quiet[i] * cells[i].chance - price_per_s * time + warm;
    const double started = worth - start * quiet[i];
    begin[i] = started > gone ? 1 : 0;
    stay[i] = worth > gone ? 1 : 0;
    const double next_gone = std::max(gone, started);
    warm = std::max(worth, gone);
    gone = next_gone;
  }
  std::vector<WarmSpan> spans;
  bool here = true;
  for (std::size_t i = 0; i < n; ++i) {
    const bool want = here ? stay[i] != 0 : begin[i] != 0;
    const double until = std::min(cells[i].until_s, longest_s);
    if (want && here && !spans.empty()) {
      spans.back().until = from_seconds(until);
    } else if (want && (!here || i == 0)) {
      spans.push_back({from_seconds(cells[i].from_s), from_seconds(until)});
    }
    here = want;
  }
  // The first ones matter most.
  if (spans.size() > most_spans) {
    spans.resize(most_spans);
  }
  return spans;
}

}  // namespace

std::string_view reason_name(KeepAliveReason reason) {
  switch (reason) {
    case KeepAliveReason::asked: return "asked";
    case KeepAliveReason::few: return "few calls";
    case KeepAliveReason::history: return "history";
    case KeepAliveReason::beat: return "timer";
  }
  return "";
}

Duration KeepAlivePlan::window() const {
  return spans.empty() || spans.front().from > Duration::zero() ? Duration::zero()
                                                                : spans.front().until;
}

bool KeepAlivePlan::warm_at(Duration idle) const {
  return std::any_of(spans.begin(), spans.end(),
                     [&](const WarmSpan& span) { return span.from <= idle && idle < span.until; });
}

std::optional<WarmSpan> KeepAlivePlan::ahead_of(Duration idle) const {
  for (const WarmSpan& span : spans) {
    if (span.from > idle) {
      return span;
    }
  }
  return std::nullopt;
}

KeepAlivePlan obey_window(Duration window) {
  KeepAlivePlan plan;
  plan.reason = KeepAliveReason::asked;
  if (window > Duration::zero()) {
    plan.spans = {{Duration::zero(), window}};
  }
  return plan;
}

Outlook::Outlook(const IdleHistory& history, WallTime idle_since) : cells_(cells_of(history)) {
  constexpr double enough = 4;
  if (history.beat()) {
    reason_ = KeepAliveReason::beat;
    overlay(*history.beat(), idle_since);
  } else if (history.gaps() >= enough) {
    reason_ = KeepAliveReason::history;
  }
  double quiet = 1;
  for (const Cell& cell : cells_) {
    mean_gap_s_ += quiet * (1 - cell.chance / 2) * (cell.until_s - cell.from_s);
    quiet *= 1 - cell.chance;
  }
}

// The next ticks of a beat become cells of their own among the others.
void Outlook::overlay(const Beat& beat, WallTime idle_since) {
  constexpr int ticks = 3;
  const double tolerance = to_seconds(beat.tolerance);
  const double reliable = std::min(beat.reliable, 0.999);
  std::array<Cell, ticks> due{};
  const WallTime first = beat.next_after(
      idle_since + std::chrono::duration_cast<std::chrono::microseconds>(beat.tolerance));
  for (std::size_t n = 0; n < ticks; ++n) {
    const double at =
        to_seconds(first - idle_since) + static_cast<double>(n) * to_seconds(beat.period);
    due[n] = {std::max(0.0, at - tolerance), at + tolerance, reliable};
  }
  std::vector<Cell> split;
  split.reserve(cells_.size() + std::size_t{2} * ticks);
  for (const Cell& cell : cells_) {
    double from = cell.from_s;
    const auto piece = [&](double until, double part_of_tick) {
      if (until <= from) {
        return;
      }
      double quiet = std::pow(1 - cell.chance, (until - from) / (cell.until_s - cell.from_s));
      if (part_of_tick > 0) {
        quiet *= std::pow(1 - reliable, part_of_tick);
      }
      split.push_back({from, until, 1 - quiet});
      from = until;
    };
    bool touched = false;
    for (const Cell& tick : due) {
      if (tick.from_s < cell.until_s && cell.from_s < tick.until_s) {
        touched = true;
        piece(std::min(tick.from_s, cell.until_s), 0);
        const double until = std::min(tick.until_s, cell.until_s);
        piece(until, (until - from) / (tick.until_s - tick.from_s));
      }
    }
    if (touched) {
      piece(cell.until_s, 0);
    } else {
      split.push_back(cell);
    }
  }
  cells_ = std::move(split);
}

KeepAlivePlan plan_keep_alive(const KeepAliveSettings& settings, const Outlook& outlook,
                              const KeepAliveCosts& costs) {
  KeepAlivePlan plan;
  plan.reason = outlook.reason();
  const double slow =
      costs.start_time > Duration::zero()
          ? std::clamp(to_seconds(costs.start_time) / to_seconds(settings.usual_start), 0.1, 10.0)
          : 1;
  const double price = settings.price_per_gb * std::max(costs.memory_gb, 0.001) / slow;
  const double price_per_s = price / outlook.mean_gap_s();
  // A start ahead of a call takes processor time: as much as is held in a minute, at least.
  plan.spans = best_spans(outlook.cells(), price_per_s, 0.01 + 60 * price_per_s,
                          to_seconds(settings.longest_idle));
  for (WarmSpan& span : plan.spans) {
    span.until = std::min(span.until, span.from + settings.longest_held);
  }
  return plan;
}

}  // namespace thaw::policy
