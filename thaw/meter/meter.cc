// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/meter.h"

#include <iterator>
#include <utility>

namespace thaw::meter {

void Meter::open(SpanFacts facts, std::uint64_t memory_bytes) {
  const model::ContainerId id = facts.container;
  spans_.try_emplace(id, std::move(facts), memory_bytes);
}

Meter::Span* Meter::find(const model::ContainerId& container) {
  const auto found = spans_.find(container);
  return found == spans_.end() || found->second.life == Life::over ? nullptr : &found->second;
}

void Meter::enter(const model::ContainerId& container, State state, Instant now) {
  if (Span* span = find(container)) {
    span->has_news = span->has_news || !span->clock.has_begun();  // its row opens at once
    span->clock.enter(state, now);
  }
}

void Meter::sample(const model::ContainerId& container, std::int64_t cpu_us,
                   std::uint64_t memory_bytes, Instant now) {
  if (Span* span = find(container)) {
    span->clock.used(cpu_us);
    if (memory_bytes != span->clock.memory_bytes()) {
      span->clock.hold(memory_bytes, now);
    }
  }
}

void Meter::close(const model::ContainerId& container, std::string end, std::string_view outcome,
                  Instant now) {
  Span* span = find(container);
  if (span == nullptr) {
    return;
  }
  if (!span->clock.has_begun()) {
    spans_.erase(container);
    return;
  }
  while (!span->lines.empty()) {
    end_line(*span, span->lines.begin(), {.outcome = outcome}, now);
  }
  if (ended_ >= limits_.ended_spans) {
    ++counters_.lost;
    spans_.erase(container);
    return;
  }
  span->totals = span->clock.totals(now);
  span->life = Life::over;
  span->has_news = true;
  span->end = std::move(end);
  ++ended_;
  ++counters_.spans;
}

void Meter::forget_unbegun(const model::ContainerId& container) {
  const auto found = spans_.find(container);
  if (found != spans_.end() && !found->second.clock.has_begun()) {
    spans_.erase(found);
  }
}

LineNumber Meter::begin(const model::ContainerId& container, LineStart start, Instant now) {
  Span* span = find(container);
  if (span == nullptr || span->facts.cause == Cause::snapshot) {
    return 0;  // what is made of the latter is nobody's call
  }
  SpanClock::Mark mark = span->clock.begin(now);
  mark.pays_start = mark.pays_start && span->facts.cause == Cause::call;
  span->lines.emplace(++last_, OpenLine{std::move(start), mark});
  return last_;
}

Line Meter::line_of(const Span& span, const OpenLine& open, const SpanClock::Charge& charge,
                    const LineEnd& end) {
  Line line;
  line.start = open.start;
  line.container = span.facts.container;
  line.workspace = span.facts.workspace;
  line.function = span.facts.function;
  line.outcome = end.outcome;
  line.ended = wall_now();
  line.run_us = charge.run_us;
  line.share_us = charge.share_us;
  line.cold_us = charge.cold_us;
  line.bytes_out = end.bytes_out;
  line.tokens = end.tokens;
  line.route = span.facts.version;
  return line;
}

std::optional<Line> Meter::look(const model::ContainerId& container, LineNumber number,
                                const LineEnd& end, Instant now) {
  Span* span = find(container);
  const auto line = span == nullptr ? decltype(span->lines.begin()){} : span->lines.find(number);
  if (span == nullptr || line == span->lines.end()) {
    return std::nullopt;
  }
  return line_of(*span, line->second, span->clock.look(line->second.mark, now), end);
}

void Meter::is_owed(const model::ContainerId& container, LineNumber number) {
  Span* span = find(container);
  if (span != nullptr && span->lines.contains(number)) {
    span->lines.at(number).start.is_owed = true;
  }
}

bool Meter::has_room(const model::WorkspaceId& workspace) const {
  const auto own = waiting_.find(workspace);
  return lines_.size() < limits_.lines &&
         (own == waiting_.end() || own->second < limits_.of_workspace);
}

void Meter::end_line(Span& span, std::map<LineNumber, OpenLine>::iterator line, const LineEnd& end,
                     Instant now) {
  const bool has_room_for_it = has_room(span.facts.workspace);
  const SpanClock::Charge charge = span.clock.end(
      line->second.mark, now, has_room_for_it ? SpanClock::Pays::yes : SpanClock::Pays::no);
  if (has_room_for_it) {
    lines_.push_back(line_of(span, line->second, charge, end));
    ++waiting_[span.facts.workspace];
    ++counters_.lines;
    span.has_news = true;
  } else {
    ++counters_.lost;
  }
  span.lines.erase(line);
}

void Meter::end(const model::ContainerId& container, LineNumber number, const LineEnd& end,
                Instant now) {
  Span* span = find(container);
  if (span == nullptr) {
    return;
  }
  if (const auto line = span->lines.find(number); line != span->lines.end()) {
    end_line(*span, line, end, now);
  }
}

std::vector<std::pair<std::string, LineNumber>> Meter::open_lines(
    const model::ContainerId& container) const {
  std::vector<std::pair<std::string, LineNumber>> open;
  if (const auto span = spans_.find(container); span != spans_.end()) {
    for (const auto& [number, line] : span->second.lines) {
      open.emplace_back(line.start.id, number);
    }
  }
  return open;
}

SpanView Meter::view(Span& span, Instant now, WallTime wall) {
  SpanView out;
  out.facts = span.facts;
  out.totals = span.life == Life::over ? span.totals : span.clock.totals(now);
  span.parts = attribute(out.totals, span.facts.cause, span.life, span.parts);
  out.parts = span.parts;
  for (std::size_t i = 0; i < parts; ++i) {
    out.more[i] = span.parts[i] - span.written[i];
  }
  out.at = wall;
  out.life = span.life;
  out.end = span.end;
  return out;
}

Group Meter::take(Which which, Instant now, WallTime wall) {
  Group group;
  group.lines = std::exchange(lines_, {});
  waiting_.clear();
  for (auto& [id, span] : spans_) {
    if (span.clock.has_begun() && (span.has_news || which == Which::all)) {
      span.has_news = false;
      group.spans.push_back(view(span, now, wall));
    }
  }
  return group;
}

void Meter::written(const Group& group) {
  for (const SpanView& one : group.spans) {
    const auto found = spans_.find(one.facts.container);
    if (found == spans_.end()) {
      continue;
    }
    found->second.written = one.parts;
    if (one.life == Life::over) {
      spans_.erase(found);
      --ended_;
    }
  }
}

void Meter::not_written(const Group& group) {
  std::vector<Line> newer = std::exchange(lines_, group.lines);
  std::move(newer.begin(), newer.end(), std::back_inserter(lines_));
  for (const Line& line : group.lines) {
    ++waiting_[line.workspace];
  }
  for (const SpanView& one : group.spans) {
    if (const auto found = spans_.find(one.facts.container); found != spans_.end()) {
      found->second.has_news = true;
    }
  }
}

}  // namespace thaw::meter
