// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/detail/ledger_rows.h"

#include <algorithm>

#include "thaw/meter/detail/tables.h"

namespace thaw::meter::detail {

namespace {

using S = SpanColumn;
using L = LineColumn;
using C = CalledColumn;
using P = PartColumn;

constexpr std::int64_t most = std::int64_t{1} << 53;
constexpr char between = '\x1f';

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
std::int64_t minute_of(WallTime time) { return micros(time) / 60'000'000; }

std::string joined(std::initializer_list<std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) {
    text += word;
    text += between;
  }
  return text;
}

template <class Column>
bool makes_sense(const store::Row<Column>& row, std::initializer_list<Column> numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [&row](Column column) {
    return row.stored(column) == store::Stored::integer && row.integer(column) >= 0 &&
           row.integer(column) <= most;
  });
}

}  // namespace

Result<bool> put_line(store::Transaction& transaction, const Line& line) {
  const LineStart& start = line.start;
  return transaction.put_if_absent(tables::lines,
                                   {{L::id, start.id},
                                    {L::workspace, line.workspace.str()},
                                    {L::function, line.function.str()},
                                    {L::container, line.container.str()},
                                    {L::call, start.call.str()},
                                    {L::attempt, start.attempt},
                                    {L::kind, static_cast<std::int64_t>(start.kind)},
                                    {L::token, start.token.str()},
                                    {L::front, start.front},
                                    {L::origin, static_cast<std::int64_t>(start.origin)},
                                    {L::level, static_cast<std::int64_t>(start.level)},
                                    {L::outcome, line.outcome},
                                    {L::ended_us, micros(line.ended)},
                                    {L::queued_us, start.queued_us},
                                    {L::run_us, line.run_us},
                                    {L::share_us, line.share_us},
                                    {L::cold_us, line.cold_us},
                                    {L::bytes_in, start.bytes_in},
                                    {L::bytes_out, line.bytes_out},
                                    {L::tokens_in, line.tokens.in},
                                    {L::tokens_out, line.tokens.out},
                                    {L::tokens_cached, line.tokens.cached},
                                    {L::route, line.route}});
}

Result<void> put_span(store::Transaction& transaction, const SpanView& span) {
  const SpanFacts& facts = span.facts;
  const Totals& totals = span.totals;
  const Amount& open = of(span.parts, Part::under_way);
  THAW_TRY_VOID(
      transaction.put(tables::function_names, {{NameColumn::function, facts.function.str()},
                                               {NameColumn::workspace, facts.workspace.str()},
                                               {NameColumn::name, facts.function_name}}));
  return transaction.put(tables::spans, {{S::container, facts.container.str()},
                                         {S::workspace, facts.workspace.str()},
                                         {S::function, facts.function.str()},
                                         {S::version, facts.version},
                                         {S::node, facts.node},
                                         {S::cause, static_cast<std::int64_t>(facts.cause)},
                                         {S::gpu, facts.gpu},
                                         {S::gpus, facts.gpus},
                                         {S::began_us, micros(facts.began)},
                                         {S::seen_us, micros(span.at)},
                                         {S::is_over, span.life == Life::over ? 1 : 0},
                                         {S::is_cut_off, 0},
                                         {S::ending, span.end},
                                         {S::starting_us, totals.of(State::starting)},
                                         {S::busy_us, totals.of(State::busy)},
                                         {S::idle_us, totals.of(State::idle)},
                                         {S::frozen_us, totals.of(State::frozen)},
                                         {S::ending_us, totals.of(State::ending)},
                                         {S::shared_us, totals.shared_us},
                                         {S::charged_start_us, totals.charged_start_us},
                                         {S::cpu_us, totals.cpu_us},
                                         {S::byte_seconds, totals.byte_seconds},
                                         {S::frozen_byte_seconds, totals.frozen_byte_seconds},
                                         {S::open_us, open.us},
                                         {S::open_cpu_us, open.cpu_us},
                                         {S::open_byte_seconds, open.byte_seconds}});
}

void Minutes::add(const Line& line, WallTime at) {
  const std::string level(model::level_key(line.start.level));
  const std::string what =
      joined({line.function.str(), line.start.token.str(), line.start.front, level});
  CallRow& row = calls_[{minute_of(at), line.workspace.str() + between + what}];
  row.workspace = line.workspace;
  row.function = line.function;
  row.token = line.start.token;
  row.front = line.start.front;
  row.level = line.start.level;
  CallSums sums;
  sums.calls = 1;
  sums.failures = line.outcome == "success" ? 0 : 1;
  sums.queued_us = line.start.queued_us;
  sums.run_us = line.run_us;
  sums.share_us = line.share_us;
  sums.cold_us = line.cold_us;
  sums.bytes_in = line.start.bytes_in.value_or(0);
  sums.bytes_out = line.bytes_out.value_or(0);
  sums.uncounted = line.tokens.in || line.tokens.out ? 0 : 1;
  sums.tokens_in = line.tokens.in.value_or(0);
  sums.tokens_out = line.tokens.out.value_or(0);
  sums.tokens_cached = line.tokens.cached.value_or(0);
  row.sums += sums;
}

void Minutes::add(const SpanFacts& span, const Parts& more, WallTime at) {
  for (std::size_t i = 0; i < parts; ++i) {
    if (more[i] == Amount{}) {
      continue;
    }
    const auto part = static_cast<Part>(i);
    const std::string what = joined({span.function.str(), part_name(part), span.gpu});
    PartRow& row = spans_[{minute_of(at), span.workspace.str() + between + what}];
    row.workspace = span.workspace;
    row.function = span.function;
    row.part = part;
    row.gpu = span.gpu;
    row.amount += more[i];
    row.gpu_us += more[i].us * span.gpus;
  }
}

Result<void> Minutes::write(store::Transaction& transaction) const {
  for (const auto& [key, row] : calls_) {
    const std::string& workspace = row.workspace.str();
    const std::string_view what = std::string_view(key.second).substr(workspace.size() + 1);
    THAW_TRY_VOID(transaction.put_if_absent(tables::minute_calls,
                                            {{C::workspace, workspace},
                                             {C::minute, key.first},
                                             {C::what, what},
                                             {C::function, row.function.str()},
                                             {C::token, row.token.str()},
                                             {C::front, row.front},
                                             {C::level, static_cast<std::int64_t>(row.level)},
                                             {C::calls, 0},
                                             {C::failures, 0},
                                             {C::queued_us, 0},
                                             {C::run_us, 0},
                                             {C::share_us, 0},
                                             {C::cold_us, 0},
                                             {C::bytes_in, 0},
                                             {C::bytes_out, 0},
                                             {C::uncounted, 0},
                                             {C::tokens_in, 0},
                                             {C::tokens_out, 0},
                                             {C::tokens_cached, 0}}));
    THAW_TRY_VOID(transaction.update(
        tables::minute_calls, {workspace, key.first, what},
        {store::add(C::calls, row.sums.calls), store::add(C::failures, row.sums.failures),
         store::add(C::queued_us, row.sums.queued_us), store::add(C::run_us, row.sums.run_us),
         store::add(C::share_us, row.sums.share_us), store::add(C::cold_us, row.sums.cold_us),
         store::add(C::bytes_in, row.sums.bytes_in), store::add(C::bytes_out, row.sums.bytes_out),
         store::add(C::uncounted, row.sums.uncounted), store::add(C::tokens_in, row.sums.tokens_in),
         store::add(C::tokens_out, row.sums.tokens_out),
         store::add(C::tokens_cached, row.sums.tokens_cached)}));
  }
  for (const auto& [key, row] : spans_) {
    const std::string& workspace = row.workspace.str();
    const std::string_view what = std::string_view(key.second).substr(workspace.size() + 1);
    THAW_TRY_VOID(transaction.put_if_absent(tables::minute_parts,
                                            {{P::workspace, workspace},
                                             {P::minute, key.first},
                                             {P::what, what},
                                             {P::function, row.function.str()},
                                             {P::part, static_cast<std::int64_t>(row.part)},
                                             {P::gpu, row.gpu},
                                             {P::us, 0},
                                             {P::cpu_us, 0},
                                             {P::byte_seconds, 0},
                                             {P::frozen_byte_seconds, 0},
                                             {P::gpu_us, 0}}));
    THAW_TRY_VOID(transaction.update(
        tables::minute_parts, {workspace, key.first, what},
        {store::add(P::us, row.amount.us), store::add(P::cpu_us, row.amount.cpu_us),
         store::add(P::byte_seconds, row.amount.byte_seconds),
         store::add(P::frozen_byte_seconds, row.amount.frozen_byte_seconds),
         store::add(P::gpu_us, row.gpu_us)}));
  }
  return ok();
}

Result<std::map<model::ContainerId, StoredSpan>> load_going_on(
    store::Transaction& transaction, std::vector<store::Unreadable>& bad) {
  std::map<model::ContainerId, StoredSpan> spans;
  THAW_TRY_VOID(transaction.scan(
      tables::spans, {.by = &tables::spans_going_on},
      {S::container,
       S::workspace,
       S::function,
       S::version,
       S::node,
       S::cause,
       S::gpu,
       S::gpus,
       S::began_us,
       S::seen_us,
       S::starting_us,
       S::busy_us,
       S::idle_us,
       S::frozen_us,
       S::ending_us,
       S::shared_us,
       S::charged_start_us,
       S::cpu_us,
       S::byte_seconds,
       S::frozen_byte_seconds,
       S::open_us,
       S::open_cpu_us,
       S::open_byte_seconds},
      [&](const store::Row<S>& row) {
        const bool is_whole =
            row.stored(S::container) == store::Stored::text && !row.view(S::container).empty() &&
            row.stored(S::workspace) == store::Stored::text &&
            row.integer(S::cause) < static_cast<std::int64_t>(causes) &&
            makes_sense(row,
                        {S::cause, S::gpus, S::began_us, S::seen_us, S::starting_us, S::busy_us,
                         S::idle_us, S::frozen_us, S::ending_us, S::shared_us, S::charged_start_us,
                         S::cpu_us, S::byte_seconds, S::frozen_byte_seconds, S::open_us,
                         S::open_cpu_us, S::open_byte_seconds});
        if (!is_whole) {
          bad.push_back({&tables::spans, row.place(), "span of container " + row.text(S::container),
                         "a number of it makes no sense"});
          return;
        }
        StoredSpan span;
        SpanFacts& facts = span.view.facts;
        facts.container = model::ContainerId(row.text(S::container));
        facts.workspace = model::WorkspaceId(row.text(S::workspace));
        facts.function = model::FunctionId(row.text(S::function));
        facts.version = row.text(S::version);
        facts.node = row.text(S::node);
        facts.cause = static_cast<Cause>(row.integer(S::cause));
        facts.gpu = row.text(S::gpu);
        facts.gpus = row.integer(S::gpus);
        facts.began = wall(row.integer(S::began_us));
        span.view.at = wall(row.integer(S::seen_us));
        Totals& totals = span.view.totals;
        totals.us = {row.integer(S::starting_us), row.integer(S::busy_us), row.integer(S::idle_us),
                     row.integer(S::frozen_us), row.integer(S::ending_us)};
        totals.shared_us = row.integer(S::shared_us);
        totals.charged_start_us = row.integer(S::charged_start_us);
        totals.cpu_us = row.integer(S::cpu_us);
        totals.byte_seconds = row.integer(S::byte_seconds);
        totals.frozen_byte_seconds = row.integer(S::frozen_byte_seconds);
        span.open = {row.integer(S::open_us), row.integer(S::open_cpu_us),
                     row.integer(S::open_byte_seconds), 0};
        const auto times = time_of_parts(totals, facts.cause, Life::goes_on);
        if (times[static_cast<std::size_t>(Part::under_way)] != span.open.us) {
          bad.push_back({&tables::spans, row.place(),
                         "span of container " + facts.container.str() + ", started for " +
                             std::string(cause_name(facts.cause)),
                         "its times do not add up"});
          return;
        }
        spans.emplace(facts.container, std::move(span));
      }));
  return spans;
}

void charge(StoredSpan& span, const Line& line) {
  const std::int64_t asked = line.share_us + line.cold_us;
  const std::int64_t taken = std::min(asked, span.open.us);
  Amount moved{taken, 0, 0, 0};
  if (span.open.us > 0) {
    __extension__ using Wide = __int128;
    moved.cpu_us = static_cast<std::int64_t>(Wide{span.open.cpu_us} * taken / span.open.us);
    moved.byte_seconds =
        static_cast<std::int64_t>(Wide{span.open.byte_seconds} * taken / span.open.us);
  }
  span.open = span.open - moved;
  Parts& more = span.view.more;
  of(more, Part::under_way) += Amount{} - moved;
  Amount mine = moved;
  mine.us = line.share_us;
  of(more, Part::calls) += mine;
  of(more, Part::cold) += Amount{line.cold_us, 0, 0, 0};
  span.view.totals.us[static_cast<std::size_t>(State::busy)] += asked - taken;
  span.view.totals.shared_us += line.share_us;
  span.view.totals.charged_start_us += line.cold_us;
}

void cut_off(StoredSpan& span) {
  of(span.view.more, Part::background) += span.open;
  of(span.view.more, Part::under_way) += Amount{} - span.open;
  span.open = {};
  span.view.life = Life::over;
  span.view.end = "its server ended";
}

}  // namespace thaw::meter::detail
