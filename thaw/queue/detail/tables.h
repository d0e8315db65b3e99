// SPDX-License-Identifier: Apache-2.0
//
// The tables of the durable half of the queue: as they are today, and as steps from an empty
// database to that. A step that was released never changes: data folders of then are opened by it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "thaw/store/database.h"

namespace thaw::queue::detail {

std::vector<store::Migration> table_steps();

// A call is finished while none of its inputs is unfinished; one without inputs is, too. The *_for
// are what the call asked for, and the *_until follow from them when it has ended; null: as the
// queue keeps results. `version`: that it is pinned to; '': whichever is live.
enum class CallColumn {
  id,
  workspace,
  app,
  function,
  max_retries,
  initial_delay_us,
  max_delay_us,
  backoff,
  parent_input,
  options,
  created_us,
  cancelled,
  finished_us,
  origin,
  log_status,
  queue_until_us,
  end_by_us,
  run_for_us,
  redeliveries,
  payload_for_us,
  record_for_us,
  payloads_until_us,
  record_until_us,
  version,
  token
};
namespace tables {
inline constexpr store::Column call_columns[] = {{"id", store::Type::text},
                                                 {"workspace", store::Type::text},
                                                 {"app", store::Type::text},
                                                 {"function", store::Type::text},
                                                 {"max_retries", store::Type::integer},
                                                 {"initial_delay_us", store::Type::integer},
                                                 {"max_delay_us", store::Type::integer},
                                                 {"backoff", store::Type::real},
                                                 {"parent_input", store::Type::text},
                                                 {"options", store::Type::bytes},
                                                 {"created_us", store::Type::integer},
                                                 {"cancelled", store::Type::integer},
                                                 {"finished_us", store::Type::integer},
                                                 {"origin", store::Type::integer},
                                                 {"log_status", store::Type::integer},
                                                 {"queue_until_us", store::Type::integer},
                                                 {"end_by_us", store::Type::integer},
                                                 {"run_for_us", store::Type::integer},
                                                 {"redeliveries", store::Type::integer},
                                                 {"payload_for_us", store::Type::integer},
                                                 {"record_for_us", store::Type::integer},
                                                 {"payloads_until_us", store::Type::integer},
                                                 {"record_until_us", store::Type::integer},
                                                 {"version", store::Type::text},
                                                 {"token", store::Type::text}};
inline constexpr store::Table<CallColumn> calls("calls", call_columns, {CallColumn::id},
                                                store::Rows::numbered);
inline constexpr store::Index<CallColumn> calls_unfinished(
    "calls_unfinished", {CallColumn::id}, {store::is_null(CallColumn::finished_us)});
inline constexpr store::Index<CallColumn> calls_kept_as_usual(
    "calls_kept_as_usual", {CallColumn::finished_us},
    {store::is_set(CallColumn::finished_us), store::is_null(CallColumn::record_for_us)});
inline constexpr store::Index<CallColumn> calls_payloads_until(
    "calls_payloads_until", {CallColumn::payloads_until_us},
    {store::is_set(CallColumn::payloads_until_us)});
inline constexpr store::Index<CallColumn> calls_record_until(
    "calls_record_until", {CallColumn::record_until_us},
    {store::is_set(CallColumn::record_until_us)});
inline constexpr store::Index<CallColumn> calls_of_workspace(
    "calls_of_workspace", {CallColumn::workspace, CallColumn::created_us, CallColumn::id});
inline constexpr store::Index<CallColumn> calls_of_function(
    "calls_of_function", {CallColumn::function, CallColumn::created_us, CallColumn::id});

}  // namespace tables

// `started_us` is that of the first delivery. What follows the bytes of a payload, here and in the
// log: `rest` is the name of its blob, and `rest_bytes` how many they are; null: nothing does.
enum class InputColumn {
  id,
  call,
  idx,
  payload,
  checksum,
  attempts,
  retries,
  enqueued_us,
  ended,
  content_type,
  started_us,
  encoding,
  rest,
  rest_bytes
};
namespace tables {
inline constexpr store::Column input_columns[] = {{"id", store::Type::text},
                                                  {"call", store::Type::text},
                                                  {"idx", store::Type::integer},
                                                  {"payload", store::Type::bytes},
                                                  {"checksum", store::Type::text},
                                                  {"attempts", store::Type::integer},
                                                  {"retries", store::Type::integer},
                                                  {"enqueued_us", store::Type::integer},
                                                  {"ended", store::Type::integer},
                                                  {"content_type", store::Type::text},
                                                  {"started_us", store::Type::integer},
                                                  {"encoding", store::Type::text},
                                                  {"rest", store::Type::text},
                                                  {"rest_bytes", store::Type::integer}};
inline constexpr store::Table<InputColumn> inputs("inputs", input_columns, {InputColumn::id},
                                                  store::Rows::numbered);
inline constexpr store::Index<InputColumn> inputs_of_call({InputColumn::call, InputColumn::idx});
inline constexpr store::Index<InputColumn> inputs_unfinished(
    "inputs_unfinished", {InputColumn::call}, {store::equals(InputColumn::ended, 0)});

}  // namespace tables

// A payload without a content type is of a data folder from before there were any. A final entry
// has a failure where `failure_type` is not null. `status` and `level` are of status entries only,
// `version` also of final ones.
enum class EntryColumn {
  call,
  number,
  kind,
  input,
  idx,
  attempts,
  outcome,
  container,
  payload,
  checksum,
  content_type,
  at_us,
  failure_type,
  failure_message,
  failure_trace,
  failure_retryable,
  status,
  version,
  level,
  encoding,
  rest,
  rest_bytes
};
namespace tables {
inline constexpr store::Column entry_columns[] = {
    {"call", store::Type::text},          {"number", store::Type::integer},
    {"kind", store::Type::integer},       {"input", store::Type::text},
    {"idx", store::Type::integer},        {"attempts", store::Type::integer},
    {"outcome", store::Type::integer},    {"container", store::Type::text},
    {"payload", store::Type::bytes},      {"checksum", store::Type::text},
    {"content_type", store::Type::text},  {"at_us", store::Type::integer},
    {"failure_type", store::Type::text},  {"failure_message", store::Type::text},
    {"failure_trace", store::Type::text}, {"failure_retryable", store::Type::integer},
    {"status", store::Type::integer},     {"version", store::Type::text},
    {"level", store::Type::integer},      {"encoding", store::Type::text},
    {"rest", store::Type::text},          {"rest_bytes", store::Type::integer}};
inline constexpr store::Table<EntryColumn> call_log("call_log", entry_columns,
                                                    {EntryColumn::call, EntryColumn::number},
                                                    store::Rows::numbered);

}  // namespace tables

enum class KeyColumn { n, workspace, function, key, fingerprint, call, until_us };
namespace tables {
inline constexpr store::Column key_columns[] = {
    {"n", store::Type::integer},        {"workspace", store::Type::text},
    {"function", store::Type::text},    {"key", store::Type::text},
    {"fingerprint", store::Type::text}, {"call", store::Type::text},
    {"until_us", store::Type::integer}};
inline constexpr store::Table<KeyColumn> call_keys("call_keys", key_columns, {KeyColumn::n},
                                                   store::Rows::numbered);
inline constexpr store::Index<KeyColumn> call_keys_by_key({KeyColumn::workspace,
                                                           KeyColumn::function, KeyColumn::key});
inline constexpr store::Index<KeyColumn> call_keys_until("call_keys_until", {KeyColumn::until_us});

}  // namespace tables

// `due_us`: when the entry behind `cursor` may be told; null: there is none yet. `until_us`: when
// it is given up; null while the call goes on. `failures`: tries of that entry. States are those of
// CallbackState.
enum class CallbackColumn {
  n,
  call,
  ordinal,
  workspace,
  receiver,
  sink,
  wants,
  try_for_us,
  dialect,
  options,
  cursor,
  state,
  told,
  tries,
  failures,
  due_us,
  until_us,
  why
};
namespace tables {
inline constexpr store::Column callback_columns[] = {
    {"n", store::Type::integer},        {"call", store::Type::text},
    {"ordinal", store::Type::integer},  {"workspace", store::Type::text},
    {"receiver", store::Type::text},    {"sink", store::Type::text},
    {"wants", store::Type::integer},    {"try_for_us", store::Type::integer},
    {"dialect", store::Type::text},     {"options", store::Type::bytes},
    {"cursor", store::Type::integer},   {"state", store::Type::integer},
    {"told", store::Type::integer},     {"tries", store::Type::integer},
    {"failures", store::Type::integer}, {"due_us", store::Type::integer},
    {"until_us", store::Type::integer}, {"why", store::Type::text}};
inline constexpr store::Table<CallbackColumn> callbacks("callbacks", callback_columns,
                                                        {CallbackColumn::n}, store::Rows::numbered);
inline constexpr store::Index<CallbackColumn> callbacks_of_call({CallbackColumn::call,
                                                                 CallbackColumn::ordinal});
inline constexpr store::Index<CallbackColumn> callbacks_due(
    "callbacks_due", {CallbackColumn::workspace, CallbackColumn::receiver, CallbackColumn::due_us},
    {store::equals(CallbackColumn::state, 0), store::is_set(CallbackColumn::due_us)});
inline constexpr store::Index<CallbackColumn> callbacks_pending(
    "callbacks_pending", {CallbackColumn::workspace, CallbackColumn::receiver},
    {store::equals(CallbackColumn::state, 0)});
inline constexpr store::Index<CallbackColumn> callbacks_until(
    "callbacks_until", {CallbackColumn::until_us},
    {store::equals(CallbackColumn::state, 0), store::is_set(CallbackColumn::until_us)});

}  // namespace tables

enum class OwedColumn { id, line };
namespace tables {
inline constexpr store::Column owed_columns[] = {{"id", store::Type::text},
                                                 {"line", store::Type::bytes}};
inline constexpr store::Table<OwedColumn> owed_lines("owed_lines", owed_columns, {OwedColumn::id},
                                                     store::Rows::keyed);

}  // namespace tables

// A time that follows another by as much as the column says; nothing if that is null. What damage
// has made too large ends at the last time there is.
template <class Column>
std::optional<std::int64_t> later(std::int64_t micros, const store::Row<Column>& row,
                                  Column column) {
  if (row.is_null(column)) {
    return std::nullopt;
  }
  std::int64_t sum = 0;
  const std::int64_t more = row.integer(column);
  if (__builtin_add_overflow(micros, more, &sum)) {
    sum = more > 0 ? std::numeric_limits<std::int64_t>::max()
                   : std::numeric_limits<std::int64_t>::min();
  }
  return sum;
}

}  // namespace thaw::queue::detail
