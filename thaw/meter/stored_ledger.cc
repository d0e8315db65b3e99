// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/stored_ledger.h"

#include <functional>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/meter/detail/ledger_rows.h"
#include "thaw/meter/detail/tables.h"
#include "thaw/meter/line_codec.h"

namespace thaw::meter {

using store::Transaction;

std::vector<store::Migration> migrations() { return detail::table_steps(); }

namespace {

// The lines that were owed and have not come: charged to their spans, if these go on.
Result<std::size_t> charge_owed(Transaction& transaction, const std::vector<Line>& owed,
                                std::map<model::ContainerId, detail::StoredSpan>& spans,
                                detail::Minutes& minutes) {
  std::size_t charged = 0;
  for (const Line& line : owed) {
    THAW_TRY(const bool is_new, detail::put_line(transaction, line));
    if (!is_new) {
      continue;
    }
    ++charged;
    minutes.add(line, line.ended);
    const auto span = spans.find(line.container);
    if (span != spans.end()) {
      detail::charge(span->second, line);
      continue;
    }
    // Its span was never seen: the line says what there was of it.
    SpanFacts facts;
    facts.workspace = line.workspace;
    facts.function = line.function;
    Parts more{};
    of(more, Part::calls).us = line.share_us;
    of(more, Part::cold).us = line.cold_us;
    minutes.add(facts, more, line.ended);
  }
  return charged;
}

Result<void> close_span(Transaction& transaction, detail::StoredSpan& span,
                        detail::Minutes& minutes) {
  detail::cut_off(span);
  minutes.add(span.view.facts, span.view.more, span.view.at);
  const Totals& totals = span.view.totals;
  THAW_TRY_VOID(transaction.update(detail::tables::spans, {span.view.facts.container.str()},
                                   {{detail::SpanColumn::is_over, 1},
                                    {detail::SpanColumn::is_cut_off, 1},
                                    {detail::SpanColumn::ending, span.view.end},
                                    {detail::SpanColumn::busy_us, totals.of(State::busy)},
                                    {detail::SpanColumn::shared_us, totals.shared_us},
                                    {detail::SpanColumn::charged_start_us, totals.charged_start_us},
                                    {detail::SpanColumn::open_us, 0},
                                    {detail::SpanColumn::open_cpu_us, 0},
                                    {detail::SpanColumn::open_byte_seconds, 0}}));
  return ok();
}

}  // namespace

async::Task<StoredLedger::Recovered> StoredLedger::recover(std::vector<std::string> owed) {
  Recovered bad_ones;
  std::vector<Line> lines;
  for (const std::string& text : owed) {
    auto line = read_line(text);
    if (line) {
      lines.push_back(std::move(*line));
    } else {
      ++bad_ones.bad;
      log_error(
          "a line of the ledger that a call's outcome was stored with cannot be read; it is "
          "charged to nobody",
          {{"error", line.error().to_string()}});
    }
  }
  std::function<Result<Recovered>(Transaction&)> work =
      [lines = std::move(lines),
       found = bad_ones](Transaction& transaction) mutable -> Result<Recovered> {
    std::vector<store::Unreadable> bad;
    THAW_TRY(auto spans, detail::load_going_on(transaction, bad));
    for (const store::Unreadable& row : bad) {
      log_error("a span of the ledger cannot be read and lies aside",
                {{"span", row.object}, {"error", row.reason}});
      THAW_TRY_VOID(store::set_aside(transaction, row));
    }
    detail::Minutes minutes;
    THAW_TRY(found.lines, charge_owed(transaction, lines, spans, minutes));
    for (auto& [id, span] : spans) {
      THAW_TRY_VOID(close_span(transaction, span, minutes));
    }
    THAW_TRY_VOID(minutes.write(transaction));
    found.spans = spans.size();
    found.bad += bad.size();
    return found;
  };
  co_return co_await database_.write<Recovered>(std::move(work));
}

async::Task<void> StoredLedger::write(std::shared_ptr<const Group> group) {
  std::function<Result<void>(Transaction&)> work =
      [group = std::move(group)](Transaction& transaction) -> Result<void> {
    detail::Minutes minutes;
    const WallTime at = group->spans.empty() ? wall_now() : group->spans.front().at;
    for (const Line& line : group->lines) {
      THAW_TRY(const bool is_new, detail::put_line(transaction, line));
      if (is_new) {
        minutes.add(line, at);
      }
    }
    for (const SpanView& span : group->spans) {
      THAW_TRY_VOID(detail::put_span(transaction, span));
      minutes.add(span.facts, span.more, at);
    }
    return minutes.write(transaction);
  };
  co_return co_await database_.write<void>(std::move(work));
}

async::Task<Usage> StoredLedger::read(UsageFilter filter) {
  std::function<Result<Usage>(Transaction&)> work =
      [filter = std::move(filter),
       most = options_.most_rows](Transaction& transaction) -> Result<Usage> {
    Usage usage;
    THAW_TRY_VOID(detail::read_usage(transaction, filter, most, usage));
    return usage;
  };
  co_return co_await database_.read<Usage>(std::move(work));
}

async::Task<void> StoredLedger::forget_before(WallTime time) {
  const std::int64_t before = time.time_since_epoch().count();
  std::function<Result<void>(Transaction&)> work =
      [before](Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(transaction.erase_range(
        detail::tables::lines, {.by = &detail::tables::lines_by_time, .before = {before}}));
    THAW_TRY_VOID(transaction.erase_range(detail::tables::spans,
                                          {.by = &detail::tables::spans_over, .before = {before}}));
    return ok();
  };
  co_return co_await database_.write<void>(std::move(work));
}

void StoredLedger::start() {
  tasks_.start(
      "old lines of the ledger", async::every(std::chrono::hours(1), "old lines", [this] {
        return forget_before(wall_now() -
                             std::chrono::duration_cast<std::chrono::microseconds>(options_.keep));
      }));
}

}  // namespace thaw::meter
