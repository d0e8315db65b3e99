// SPDX-License-Identifier: Apache-2.0
//
// How long a function that nobody calls keeps its last container, and when one is started again
// ahead of the next call. The times at which a container is worth its memory are found from the
// function's idle history: for each moment of a gap, the chance that a call comes just then is set
// against the memory that waiting for it costs. What is weighed is the share of the function's
// calls that find no container, so a function that is called once an hour counts as much as a busy
// one. Nothing is assumed of a function with few gaps but what most functions are like.
//
// A window that the user asked for is obeyed as it is: the container ends when it is over, and
// nothing is started ahead of a call. Pure: equal arguments give equal plans.
#pragma once

#include <string_view>
#include <vector>

#include "thaw/base/time.h"
#include "thaw/policy/idle_history.h"

namespace thaw::policy {

struct KeepAliveSettings {
  // Gigabytes held that are worth as much as all calls of one function being cold instead of warm;
  // larger keeps less.
  double price_per_gb = 8;
  Duration longest_idle = 24h;  // no container is kept or started ahead later than this
  Duration longest_held = 24h;  // nor held longer than this at a stretch
  Duration usual_start = 1s;    // a start that takes longer weighs more, a faster one less
};

struct KeepAliveCosts {
  double memory_gb = 0.15;
  Duration start_time{};  // measured, of the level that a start would use; 0: unknown
};

// From a gap's beginning: a container is wanted from `from` until `until`.
struct WarmSpan {
  Duration from{};
  Duration until{};
  bool operator==(const WarmSpan&) const = default;
};

enum class KeepAliveReason {
  asked,    // the user's own window
  few,      // too little is known: what most functions are like
  history,  // the idle histogram
  beat,     // a timer was recognised
};
std::string_view reason_name(KeepAliveReason reason);

struct KeepAlivePlan {
  std::vector<WarmSpan> spans;  // in order, apart, at most `most_spans`
  KeepAliveReason reason = KeepAliveReason::few;

  Duration window() const;  // of the container that has just become idle; 0: it may go at once
  bool warm_at(Duration idle) const;  // tidy(unused): by it bench/arrivals judges the policy
  // The first later span; nullopt: no container is started ahead any more.
  std::optional<WarmSpan> ahead_of(Duration idle) const;
};

inline constexpr std::size_t most_spans = 4;

// What is expected of a gap that begins at `idle_since`.
class Outlook {
 public:
  Outlook(const IdleHistory& history, WallTime idle_since);

  // A piece of the gap: the chance that a call comes in it if none came before.
  struct Cell {
    double from_s;
    double until_s;
    double chance;
  };
  const std::vector<Cell>& cells() const { return cells_; }
  double mean_gap_s() const { return mean_gap_s_; }
  KeepAliveReason reason() const { return reason_; }

 private:
  void overlay(const Beat& beat, WallTime idle_since);

  std::vector<Cell> cells_;
  double mean_gap_s_ = 0;
  KeepAliveReason reason_ = KeepAliveReason::few;
};

KeepAlivePlan plan_keep_alive(const KeepAliveSettings& settings, const Outlook& outlook,
                              const KeepAliveCosts& costs);
KeepAlivePlan obey_window(Duration window);

}  // namespace thaw::policy
