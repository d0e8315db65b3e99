// SPDX-License-Identifier: Apache-2.0
//
// The tables of the ledger. Roll-ups have a row for each minute, workspace and `what`: that is all
// by which they are told apart, in one text; the columns behind it say the same. `open_*` of a span
// is what of it was under way: whose it is was not known when it was last seen.
#pragma once

#include <vector>

#include "thaw/store/database.h"

namespace thaw::meter::detail {

std::vector<store::Migration> table_steps();

enum class SpanColumn {
  container,
  workspace,
  function,
  version,
  node,
  cause,
  gpu,
  gpus,
  began_us,
  seen_us,
  is_over,
  is_cut_off,
  ending,
  starting_us,
  busy_us,
  idle_us,
  frozen_us,
  ending_us,
  shared_us,
  charged_start_us,
  cpu_us,
  byte_seconds,
  frozen_byte_seconds,
  open_us,
  open_cpu_us,
  open_byte_seconds
};
enum class LineColumn {
  id,
  workspace,
  function,
  container,
  call,
  attempt,
  kind,
  token,
  front,
  origin,
  level,
  outcome,
  ended_us,
  queued_us,
  run_us,
  share_us,
  cold_us,
  bytes_in,
  bytes_out,
  tokens_in,
  tokens_out,
  tokens_cached,
  route
};
enum class CalledColumn {
  workspace,
  minute,
  what,
  function,
  token,
  front,
  level,
  calls,
  failures,
  queued_us,
  run_us,
  share_us,
  cold_us,
  bytes_in,
  bytes_out,
  uncounted,
  tokens_in,
  tokens_out,
  tokens_cached
};
enum class PartColumn {
  workspace,
  minute,
  what,
  function,
  part,
  gpu,
  us,
  cpu_us,
  byte_seconds,
  frozen_byte_seconds,
  gpu_us
};
enum class NameColumn { function, workspace, name };

namespace tables {

inline constexpr store::Column span_columns[] = {{"container", store::Type::text},
                                                 {"workspace", store::Type::text},
                                                 {"function", store::Type::text},
                                                 {"version", store::Type::text},
                                                 {"node", store::Type::text},
                                                 {"cause", store::Type::integer},
                                                 {"gpu", store::Type::text},
                                                 {"gpus", store::Type::integer},
                                                 {"began_us", store::Type::integer},
                                                 {"seen_us", store::Type::integer},
                                                 {"is_over", store::Type::integer},
                                                 {"is_cut_off", store::Type::integer},
                                                 {"ending", store::Type::text},
                                                 {"starting_us", store::Type::integer},
                                                 {"busy_us", store::Type::integer},
                                                 {"idle_us", store::Type::integer},
                                                 {"frozen_us", store::Type::integer},
                                                 {"ending_us", store::Type::integer},
                                                 {"shared_us", store::Type::integer},
                                                 {"charged_start_us", store::Type::integer},
                                                 {"cpu_us", store::Type::integer},
                                                 {"byte_seconds", store::Type::integer},
                                                 {"frozen_byte_seconds", store::Type::integer},
                                                 {"open_us", store::Type::integer},
                                                 {"open_cpu_us", store::Type::integer},
                                                 {"open_byte_seconds", store::Type::integer}};
inline constexpr store::Table<SpanColumn> spans("spans", span_columns, {SpanColumn::container},
                                                store::Rows::numbered);

inline constexpr store::Column line_columns[] = {{"id", store::Type::text},
                                                 {"workspace", store::Type::text},
                                                 {"function", store::Type::text},
                                                 {"container", store::Type::text},
                                                 {"call", store::Type::text},
                                                 {"attempt", store::Type::integer},
                                                 {"kind", store::Type::integer},
                                                 {"token", store::Type::text},
                                                 {"front", store::Type::text},
                                                 {"origin", store::Type::integer},
                                                 {"level", store::Type::integer},
                                                 {"outcome", store::Type::text},
                                                 {"ended_us", store::Type::integer},
                                                 {"queued_us", store::Type::integer},
                                                 {"run_us", store::Type::integer},
                                                 {"share_us", store::Type::integer},
                                                 {"cold_us", store::Type::integer},
                                                 {"bytes_in", store::Type::integer},
                                                 {"bytes_out", store::Type::integer},
                                                 {"tokens_in", store::Type::integer},
                                                 {"tokens_out", store::Type::integer},
                                                 {"tokens_cached", store::Type::integer},
                                                 {"route", store::Type::text}};
inline constexpr store::Table<LineColumn> lines("lines", line_columns, {LineColumn::id},
                                                store::Rows::numbered);

inline constexpr store::Column called_columns[] = {{"workspace", store::Type::text},
                                                   {"minute", store::Type::integer},
                                                   {"what", store::Type::text},
                                                   {"function", store::Type::text},
                                                   {"token", store::Type::text},
                                                   {"front", store::Type::text},
                                                   {"level", store::Type::integer},
                                                   {"calls", store::Type::integer},
                                                   {"failures", store::Type::integer},
                                                   {"queued_us", store::Type::integer},
                                                   {"run_us", store::Type::integer},
                                                   {"share_us", store::Type::integer},
                                                   {"cold_us", store::Type::integer},
                                                   {"bytes_in", store::Type::integer},
                                                   {"bytes_out", store::Type::integer},
                                                   {"uncounted", store::Type::integer},
                                                   {"tokens_in", store::Type::integer},
                                                   {"tokens_out", store::Type::integer},
                                                   {"tokens_cached", store::Type::integer}};
inline constexpr store::Table<CalledColumn> minute_calls("minute_calls", called_columns,
                                                         {CalledColumn::workspace,
                                                          CalledColumn::minute, CalledColumn::what},
                                                         store::Rows::keyed);

inline constexpr store::Column part_columns[] = {{"workspace", store::Type::text},
                                                 {"minute", store::Type::integer},
                                                 {"what", store::Type::text},
                                                 {"function", store::Type::text},
                                                 {"part", store::Type::integer},
                                                 {"gpu", store::Type::text},
                                                 {"us", store::Type::integer},
                                                 {"cpu_us", store::Type::integer},
                                                 {"byte_seconds", store::Type::integer},
                                                 {"frozen_byte_seconds", store::Type::integer},
                                                 {"gpu_us", store::Type::integer}};
inline constexpr store::Table<PartColumn> minute_parts("minute_parts", part_columns,
                                                       {PartColumn::workspace, PartColumn::minute,
                                                        PartColumn::what},
                                                       store::Rows::keyed);

inline constexpr store::Column name_columns[] = {
    {"function", store::Type::text}, {"workspace", store::Type::text}, {"name", store::Type::text}};
inline constexpr store::Table<NameColumn> function_names("function_names", name_columns,
                                                         {NameColumn::function},
                                                         store::Rows::keyed);

inline constexpr store::Index<SpanColumn> spans_going_on("spans_going_on", {SpanColumn::container},
                                                         {store::equals(SpanColumn::is_over, 0)});
inline constexpr store::Index<SpanColumn> spans_over("spans_over", {SpanColumn::seen_us},
                                                     {store::equals(SpanColumn::is_over, 1)});
inline constexpr store::Index<LineColumn> lines_by_time("lines_by_time", {LineColumn::ended_us});
inline constexpr store::Index<LineColumn> lines_of_workspace("lines_of_workspace",
                                                             {LineColumn::workspace,
                                                              LineColumn::ended_us});

}  // namespace tables

}  // namespace thaw::meter::detail
