// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <tuple>

#include "thaw/meter/detail/ledger_rows.h"
#include "thaw/meter/detail/tables.h"

namespace thaw::meter::detail {

namespace {

using L = LineColumn;
using C = CalledColumn;
using P = PartColumn;

constexpr std::int64_t minutes_of_day = 1'440;
constexpr std::int64_t minute_us = 60'000'000;

using CallKey = std::tuple<std::int64_t, model::WorkspaceId, model::FunctionId, model::TokenId,
                           std::string, model::Level>;
using PartKey = std::tuple<std::int64_t, model::WorkspaceId, model::FunctionId, Part, std::string>;

// Sums by what they are told apart by, as many as one answer has.
struct Sums {
  std::size_t most;
  std::map<CallKey, CallSums> calls;
  std::map<PartKey, std::pair<Amount, std::int64_t>> spans;

  Result<store::Go> go_on() const {
    if (calls.size() + spans.size() > most) {
      return Error::resource_exhausted("the ledger has more than " + std::to_string(most) +
                                       " sums for this time; ask for a shorter one");
    }
    return store::Go::on;
  }
};

// What damage has made of it is a level.
template <class Column>
model::Level level_in(const store::Row<Column>& row, Column column) {
  return static_cast<model::Level>(std::clamp<std::int64_t>(
      row.integer(column), 0, static_cast<std::int64_t>(model::last_level)));
}

template <class Column>
std::int64_t count_in(const store::Row<Column>& row, Column column) {
  return std::clamp<std::int64_t>(row.integer(column), -(std::int64_t{1} << 53),
                                  std::int64_t{1} << 53);
}

Result<void> read_calls(store::Transaction& transaction, const model::WorkspaceId& workspace,
                        std::int64_t from, std::int64_t until, Sums& sums) {
  return transaction.scan(
      tables::minute_calls, {.with = {workspace.str()}, .from = {from}, .before = {until}},
      {C::minute, C::function, C::token, C::front, C::level, C::calls, C::failures, C::queued_us,
       C::run_us, C::share_us, C::cold_us, C::bytes_in, C::bytes_out, C::uncounted, C::tokens_in,
       C::tokens_out, C::tokens_cached},
      [&](const store::Row<C>& row) {
        CallSums& one = sums.calls[{row.integer(C::minute) / minutes_of_day, workspace,
                                    model::FunctionId(row.text(C::function)),
                                    model::TokenId(row.text(C::token)), row.text(C::front),
                                    level_in(row, C::level)}];
        CallSums more;
        more.calls = count_in(row, C::calls);
        more.failures = count_in(row, C::failures);
        more.queued_us = count_in(row, C::queued_us);
        more.run_us = count_in(row, C::run_us);
        more.share_us = count_in(row, C::share_us);
        more.cold_us = count_in(row, C::cold_us);
        more.bytes_in = count_in(row, C::bytes_in);
        more.bytes_out = count_in(row, C::bytes_out);
        more.uncounted = count_in(row, C::uncounted);
        more.tokens_in = count_in(row, C::tokens_in);
        more.tokens_out = count_in(row, C::tokens_out);
        more.tokens_cached = count_in(row, C::tokens_cached);
        one += more;
        return sums.go_on();
      });
}

Result<void> read_parts(store::Transaction& transaction, const model::WorkspaceId& workspace,
                        std::int64_t from, std::int64_t until, Sums& sums) {
  return transaction.scan(
      tables::minute_parts, {.with = {workspace.str()}, .from = {from}, .before = {until}},
      {P::minute, P::function, P::part, P::gpu, P::us, P::cpu_us, P::byte_seconds,
       P::frozen_byte_seconds, P::gpu_us},
      [&](const store::Row<P>& row) {
        const auto part = static_cast<Part>(
            std::clamp<std::int64_t>(row.integer(P::part), 0, std::int64_t{parts} - 1));
        auto& [amount, gpu_us] =
            sums.spans[{row.integer(P::minute) / minutes_of_day, workspace,
                        model::FunctionId(row.text(P::function)), part, row.text(P::gpu)}];
        amount += {count_in(row, P::us), count_in(row, P::cpu_us), count_in(row, P::byte_seconds),
                   count_in(row, P::frozen_byte_seconds)};
        gpu_us += count_in(row, P::gpu_us);
        return sums.go_on();
      });
}

Result<void> read_rounded(store::Transaction& transaction, const model::WorkspaceId& workspace,
                          std::int64_t from, std::int64_t until, const Rounding& rounding,
                          Sums& sums) {
  return transaction.scan(
      tables::lines,
      {.by = &tables::lines_of_workspace,
       .with = {workspace.str()},
       .from = {from * minute_us},
       .before = {until * minute_us}},
      {L::function, L::token, L::front, L::level, L::ended_us, L::run_us},
      [&](const store::Row<L>& row) {
        CallSums& one = sums.calls[{row.integer(L::ended_us) / minute_us / minutes_of_day,
                                    workspace, model::FunctionId(row.text(L::function)),
                                    model::TokenId(row.text(L::token)), row.text(L::front),
                                    level_in(row, L::level)}];
        one.billed_us += rounded(std::max<std::int64_t>(0, count_in(row, L::run_us)), rounding);
        one.billed_calls += 1;
        return sums.go_on();
      });
}

}  // namespace

Result<void> read_usage(store::Transaction& transaction, const UsageFilter& filter,
                        std::size_t most_rows, Usage& out) {
  const std::int64_t from = filter.from.time_since_epoch().count() / minute_us;
  const std::int64_t until = filter.until.time_since_epoch().count() / minute_us;
  Sums sums{most_rows, {}, {}};
  for (const model::WorkspaceId& workspace : filter.workspaces) {
    THAW_TRY_VOID(read_calls(transaction, workspace, from, until, sums));
    THAW_TRY_VOID(read_parts(transaction, workspace, from, until, sums));
    if (filter.rounding.is_asked_for()) {
      THAW_TRY_VOID(read_rounded(transaction, workspace, from, until, filter.rounding, sums));
    }
  }
  std::set<model::FunctionId> functions;
  for (const auto& [key, one] : sums.calls) {
    const auto& [day, workspace, function, token, front, level] = key;
    functions.insert(function);
    out.calls.push_back({day, workspace, function, token, front, level, one});
  }
  for (const auto& [key, one] : sums.spans) {
    const auto& [day, workspace, function, part, gpu] = key;
    functions.insert(function);
    out.spans.push_back({day, workspace, function, part, gpu, one.first, one.second});
  }
  for (const model::FunctionId& function : functions) {
    THAW_TRY_VOID(transaction.get(tables::function_names, {function.str()}, {NameColumn::name},
                                  [&](const store::Row<NameColumn>& row) {
                                    out.names[function] = row.text(NameColumn::name);
                                  }));
  }
  return ok();
}

}  // namespace thaw::meter::detail
