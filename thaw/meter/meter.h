// SPDX-License-Identifier: Apache-2.0
//
// Meter: the spans of all containers that live, and the lines that have ended and are not written
// yet. It is told what happens, and hands out what is to be written in groups; it does no I/O and
// asks for no time. Bounded: what finds its share of the lines full is lost, is counted, and its
// time goes to the background of its span. Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/meter/ledger.h"
#include "thaw/meter/span_clock.h"

namespace thaw::meter {

struct MeterLimits {
  std::size_t lines = 50'000;         // that wait to be written
  std::size_t of_workspace = 25'000;  // of these
  std::size_t ended_spans = 20'000;   // that wait to be written
};

struct MeterCounters {
  std::uint64_t lines = 0;
  std::uint64_t spans = 0;
  std::uint64_t lost = 0;  // lines, and spans, that a full buffer took none of
};

// 0: none.
using LineNumber = std::uint64_t;

class Meter {
 public:
  explicit Meter(MeterLimits limits = {}) : limits_(limits) {}

  // --- containers; of one that is not known, or is over, nothing is counted ---
  void open(SpanFacts facts, std::uint64_t memory_bytes);
  bool knows(const model::ContainerId& container) const { return spans_.contains(container); }
  void enter(const model::ContainerId& container, State state, Instant now);
  void sample(const model::ContainerId& container, std::int64_t cpu_us, std::uint64_t memory_bytes,
              Instant now);
  // Its open lines end too, with this outcome.
  void close(const model::ContainerId& container, std::string end, std::string_view outcome,
             Instant now);
  // It never began: there is no span.
  void forget_unbegun(const model::ContainerId& container);

  // --- lines ---
  LineNumber begin(const model::ContainerId& container, LineStart start, Instant now);
  // As it would be if it ended now, for who writes it down with the outcome.
  std::optional<Line> look(const model::ContainerId& container, LineNumber number,
                           const LineEnd& end, Instant now);
  // Its queue has written it down: told with end().
  void is_owed(const model::ContainerId& container, LineNumber number);
  void end(const model::ContainerId& container, LineNumber number, const LineEnd& end, Instant now);
  // The lines of a container that are open, by the ids of their starts.
  std::vector<std::pair<std::string, LineNumber>> open_lines(
      const model::ContainerId& container) const;

  // --- what is to be written: `all`: the spans that go on, too ---
  enum class Which : std::uint8_t { ended, all };
  Group take(Which which, Instant now, WallTime wall);
  // What came of it. What was not written is there again for the next group.
  void written(const Group& group);
  void not_written(const Group& group);

  const MeterCounters& counters() const { return counters_; }
  std::size_t waiting_lines() const { return lines_.size(); }
  std::size_t open_spans() const { return spans_.size(); }

 private:
  struct OpenLine {
    LineStart start;
    SpanClock::Mark mark;
  };
  struct Span {
    Span(SpanFacts of, std::uint64_t bytes) : facts(std::move(of)), clock(bytes) {}
    SpanFacts facts;
    SpanClock clock;
    std::map<LineNumber, OpenLine> lines;
    Parts parts{};
    Parts written{};
    Totals totals{};  // once it is over
    Life life = Life::goes_on;
    bool has_news = false;
    std::string end;
  };
  Span* find(const model::ContainerId& container);
  static Line line_of(const Span& span, const OpenLine& open, const SpanClock::Charge& charge,
                      const LineEnd& end);
  bool has_room(const model::WorkspaceId& workspace) const;
  void end_line(Span& span, std::map<LineNumber, OpenLine>::iterator line, const LineEnd& end,
                Instant now);
  SpanView view(Span& span, Instant now, WallTime wall);

  MeterLimits limits_;
  std::unordered_map<model::ContainerId, Span> spans_;
  std::vector<Line> lines_;
  std::unordered_map<model::WorkspaceId, std::size_t> waiting_;  // lines
  std::size_t ended_ = 0;                                        // spans that wait
  LineNumber last_ = 0;
  MeterCounters counters_;
};

}  // namespace thaw::meter
