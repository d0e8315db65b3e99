// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/callback_rows.h"

namespace thaw::queue::detail {

using store::Blob;
using store::Row;
using store::Sql;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

// From this column on: workspace, receiver.
CallbackLane lane_of(const Row& row, int column) {
  return {model::WorkspaceId(row.text(column)), row.text(column + 1)};
}

}  // namespace

std::int64_t number_of(const model::CallbackWants& wants) {
  return (wants.started ? wants_started : 0) | (wants.output ? wants_output : 0) |
         (wants.final_ ? wants_final : 0);
}

std::int64_t wanted_for(const model::LogEntry& entry) {
  switch (entry.kind) {
    case model::LogEntry::Kind::chunk: return wants_output;
    case model::LogEntry::Kind::final_: return wants_final;
    case model::LogEntry::Kind::status:
      return entry.status.what == model::CallStatus::What::started ? wants_started : 0;
  }
  return 0;
}

Result<void> insert_callbacks(Sql& sql, const model::NewCall& call,
                              const std::vector<model::Callback>& callbacks,
                              const WallTime* ended_at) {
  std::int64_t ordinal = 0;
  for (const model::Callback& one : callbacks) {
    const auto try_for = std::chrono::duration_cast<std::chrono::microseconds>(one.try_for);
    const auto maybe = [ended_at](Duration more) {
      return ended_at == nullptr
                 ? store::Value(nullptr)
                 : store::Value(micros(
                       *ended_at + std::chrono::duration_cast<std::chrono::microseconds>(more)));
    };
    THAW_TRY_VOID(
        sql.run("INSERT INTO callbacks (call, ordinal, workspace, receiver, sink, wants, "
                "try_for_us, dialect, options, due_us, until_us) VALUES "
                "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                {call.id.str(), ordinal++, call.workspace.str(), one.receiver, one.sink,
                 number_of(one.wants), std::int64_t{try_for.count()}, one.dialect,
                 Blob{one.options}, maybe(Duration::zero()), maybe(one.try_for)}));
  }
  return ok();
}

Result<std::int64_t> load_wants(Sql& sql, const model::CallId& call) {
  std::int64_t all = 0;
  // One that wants nothing more still has to hear of the end.
  THAW_TRY_VOID(sql.each("SELECT wants FROM callbacks WHERE call = ?", {call.str()},
                         [&all](const Row& row) { all |= row.integer(0) | wants_final; }));
  return all;
}

Result<void> wake_callbacks(Sql& sql, const model::CallId& call, const model::LogEntry& entry,
                            WallTime now, CallbackChanges& changes) {
  if (entry.kind != model::LogEntry::Kind::final_) {
    return sql.each(
        "UPDATE callbacks SET due_us = ?1 WHERE call = ?2 AND state = 0 AND due_us IS NULL AND "
        "(wants & ?3) != 0 RETURNING workspace, receiver",
        {micros(now), call.str(), wanted_for(entry)},
        [&changes](const Row& row) { changes.due.push_back(lane_of(row, 0)); });
  }
  // It was told all of a call that had ended, and then got more inputs.
  THAW_TRY_VOID(sql.each(
      "UPDATE callbacks SET state = 0 WHERE call = ? AND state = 1 RETURNING workspace, receiver",
      {call.str()}, [&changes](const Row& row) { changes.reopened.push_back(lane_of(row, 0)); }));
  bool is_pending = false;
  THAW_TRY_VOID(
      sql.each("UPDATE callbacks SET due_us = coalesce(due_us, ?1), until_us = try_for_us + "
               "(SELECT finished_us FROM calls WHERE id = ?2) WHERE call = ?2 AND state = 0 "
               "RETURNING workspace, receiver",
               {micros(now), call.str()}, [&](const Row& row) {
                 changes.due.push_back(lane_of(row, 0));
                 is_pending = true;
               }));
  if (is_pending) {
    THAW_TRY_VOID(
        sql.run("UPDATE calls SET payloads_until_us = NULL, record_until_us = NULL WHERE id = ?",
                {call.str()}));
  }
  return ok();
}

Result<void> reopen_callbacks(Sql& sql, const model::CallId& call) {
  THAW_TRY_VOID(sql.run("UPDATE callbacks SET until_us = NULL WHERE call = ?", {call.str()}));
  return ok();
}

Result<void> delete_callbacks(Sql& sql, const std::string& call, CallbackChanges& changes) {
  return sql.each("DELETE FROM callbacks WHERE call = ? RETURNING workspace, receiver, state",
                  {call}, [&changes](const Row& row) {
                    if (row.integer(2) == 0) {
                      changes.ended.push_back(lane_of(row, 0));
                    }
                  });
}

}  // namespace thaw::queue::detail
