// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/journal.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/store/blob_store.h"

namespace thaw::queue::detail {

using store::Blob;
using store::Row;
using store::Sql;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
std::int64_t micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

// Enough to notice damage; nobody is to be kept from forging it.
std::string checksum(std::string_view payload) { return store::sha256_hex(payload).substr(0, 16); }

Error damaged_payload(const model::CallId& call) {
  return Error::data_loss("a stored payload of the call " + call.str() +
                          " is not what was written; the disk or the database is damaged");
}

constexpr const char* call_columns =
    "SELECT id, workspace, app, function, max_retries, initial_delay_us, max_delay_us, backoff, "
    "parent_input, options, created_us, cancelled, rowid, typeof(id) = 'text' FROM calls ";

// What was stored is what was asked for; what damage has made of it is brought back to where it can
// do no harm.
constexpr std::int64_t most_count = 1'000'000'000;
constexpr std::int64_t year_us = 366LL * 24 * 3600 * 1'000'000;

int count_in(const Row& row, int column) {
  return static_cast<int>(std::clamp<std::int64_t>(row.integer(column), 0, most_count));
}
Duration duration_in(const Row& row, int column) {
  return std::chrono::microseconds(std::clamp<std::int64_t>(row.integer(column), 0, year_us));
}
WallTime time_in(const Row& row, int column) {
  return wall(std::clamp<std::int64_t>(row.integer(column), 0, 8'000 * year_us));
}
// Of log entries; beyond it counting on would not be exact.
constexpr std::int64_t last_possible_number = std::int64_t{1} << 53;

StoredCall call_of_row(const Row& row) {
  StoredCall stored;
  model::NewCall& call = stored.call;
  // Another type would not be found again by its text.
  call.id = model::CallId(row.integer(13) != 0 ? row.text(0) : std::string());
  call.workspace = model::WorkspaceId(row.text(1));
  call.app = model::AppId(row.text(2));
  call.function = model::FunctionId(row.text(3));
  call.durability = model::Durability::durable;
  call.retry.max_retries = count_in(row, 4);
  call.retry.initial_delay = duration_in(row, 5);
  call.retry.max_delay = duration_in(row, 6);
  call.retry.backoff = std::isfinite(row.real(7)) ? std::max(row.real(7), 0.0) : 1.0;
  call.parent_input = model::InputId(row.text(8));
  call.options = row.text(9);
  stored.created_at = time_in(row, 10);
  stored.cancelled = row.integer(11) != 0;
  stored.row = row.integer(12);
  return stored;
}

Result<void> load_rest(Sql& sql, StoredCall& stored) {
  const std::string id = stored.call.id.str();
  THAW_TRY_VOID(
      sql.each("SELECT id, idx, payload, attempts, retries, enqueued_us, ended, checksum, rowid, "
               "typeof(id) = 'text' FROM inputs "
               "WHERE call = ? ORDER BY rowid",
               {id}, [&stored](const Row& row) {
                 StoredInput input;
                 input.id = model::InputId(row.text(0));
                 input.index = count_in(row, 1);
                 input.payload = row.text(2);
                 input.attempts = count_in(row, 3);
                 input.retries = count_in(row, 4);
                 input.enqueued_at = time_in(row, 5);
                 input.ended = row.integer(6) != 0;
                 input.damaged = !input.ended && checksum(input.payload) != row.text(7);
                 input.order = row.integer(8);
                 if (input.id.empty() || row.integer(9) == 0) {
                   input.unreadable = "it has no id";
                 } else if (input.index != row.integer(1)) {
                   input.unreadable = "its index is none";
                 }
                 stored.inputs.push_back(std::move(input));
               }));
  return sql.each(
      "SELECT coalesce(max(number), 0), coalesce(sum(CASE WHEN kind = ? THEN 0 ELSE "
      "length(payload) + ? END), 0) FROM call_log WHERE call = ? AND number <= ?",
      {static_cast<std::int64_t>(model::LogEntry::Kind::final_), std::int64_t{entry_overhead}, id,
       last_possible_number},
      [&stored](const Row& row) {
        stored.last_number = static_cast<std::uint64_t>(row.integer(0));
        stored.piece_bytes = static_cast<std::size_t>(std::max<std::int64_t>(row.integer(1), 0));
      });
}

}  // namespace

std::vector<store::Migration> journal_migrations() {
  // A call is finished while none of its inputs is unfinished; one without inputs is, too.
  return {{"queue", 1, R"sql(
    CREATE TABLE calls (
      id TEXT PRIMARY KEY, workspace TEXT NOT NULL, app TEXT NOT NULL, function TEXT NOT NULL,
      max_retries INTEGER NOT NULL, initial_delay_us INTEGER NOT NULL,
      max_delay_us INTEGER NOT NULL, backoff REAL NOT NULL, parent_input TEXT NOT NULL,
      options BLOB NOT NULL, created_us INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0,
      finished_us INTEGER);
    CREATE INDEX calls_unfinished ON calls (id) WHERE finished_us IS NULL;
    CREATE INDEX calls_finished ON calls (finished_us) WHERE finished_us IS NOT NULL;
    CREATE TABLE inputs (
      id TEXT PRIMARY KEY, call TEXT NOT NULL, idx INTEGER NOT NULL, payload BLOB,
      checksum TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
      retries INTEGER NOT NULL DEFAULT 0, enqueued_us INTEGER NOT NULL,
      ended INTEGER NOT NULL DEFAULT 0, UNIQUE (call, idx));
    CREATE INDEX inputs_unfinished ON inputs (call) WHERE ended = 0;
    CREATE TABLE call_log (
      call TEXT NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, input TEXT NOT NULL,
      idx INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome INTEGER NOT NULL,
      container TEXT NOT NULL, payload BLOB NOT NULL, checksum TEXT NOT NULL,
      PRIMARY KEY (call, number));
  )sql"}};
}

Result<void> insert_call(Sql& sql, const model::NewCall& call, WallTime created_at) {
  const std::int64_t now = micros(created_at);
  THAW_TRY_VOID(
      sql.run("INSERT INTO calls (id, workspace, app, function, max_retries, initial_delay_us, "
              "max_delay_us, backoff, parent_input, options, created_us, finished_us) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
              {call.id.str(), call.workspace.str(), call.app.str(), call.function.str(),
               std::int64_t{call.retry.max_retries}, micros(call.retry.initial_delay),
               micros(call.retry.max_delay), call.retry.backoff, call.parent_input.str(),
               Blob{call.options}, now, now}));
  return ok();
}

Result<void> insert_inputs(Sql& sql, const model::CallId& call,
                           const std::vector<StoredInput>& inputs) {
  for (const StoredInput& input : inputs) {
    THAW_TRY_VOID(
        sql.run("INSERT INTO inputs (id, call, idx, payload, checksum, enqueued_us) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                {input.id.str(), call.str(), std::int64_t{input.index}, Blob{input.payload},
                 checksum(input.payload), micros(input.enqueued_at)}));
  }
  if (!inputs.empty()) {
    THAW_TRY_VOID(sql.run("UPDATE calls SET finished_us = NULL WHERE id = ?", {call.str()}));
  }
  return ok();
}

Result<void> mark_cancelled(Sql& sql, const model::CallId& call) {
  THAW_TRY_VOID(sql.run("UPDATE calls SET cancelled = 1 WHERE id = ?", {call.str()}));
  return ok();
}

Result<void> note_delivery(Sql& sql, const model::InputId& input, int attempts, int retries) {
  THAW_TRY_VOID(sql.run("UPDATE inputs SET attempts = ?, retries = ? WHERE id = ?",
                        {std::int64_t{attempts}, std::int64_t{retries}, input.str()}));
  return ok();
}

Result<std::uint64_t> append_entry(Sql& sql, const model::CallId& call,
                                   const model::LogEntry& entry) {
  std::uint64_t number = 0;
  THAW_TRY_VOID(sql.each(
      "INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, "
      "payload, checksum) VALUES "
      "(?1, (SELECT coalesce(max(number), 0) + 1 FROM call_log WHERE call = ?1 AND number <= ?10), "
      "?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) RETURNING number",
      {call.str(), static_cast<std::int64_t>(entry.kind), entry.input.str(),
       std::int64_t{entry.index}, std::int64_t{entry.attempts},
       static_cast<std::int64_t>(entry.outcome), entry.container.str(), Blob{entry.payload},
       checksum(entry.payload), last_possible_number},
      [&number](const Row& row) { number = static_cast<std::uint64_t>(row.integer(0)); }));
  return number;
}

Result<std::uint64_t> end_input(Sql& sql, const StoredEnding& ending, WallTime now) {
  THAW_TRY_VOID(
      sql.run("UPDATE inputs SET ended = 1, attempts = ?, retries = ?, payload = NULL WHERE id = ?",
              {std::int64_t{ending.attempts}, std::int64_t{ending.retries}, ending.input.str()}));
  THAW_TRY(const std::uint64_t number, append_entry(sql, ending.call, ending.entry));
  THAW_TRY_VOID(
      sql.run("UPDATE calls SET finished_us = ?1 WHERE id = ?2 AND NOT EXISTS "
              "(SELECT 1 FROM inputs WHERE call = ?2 AND ended = 0)",
              {micros(now), ending.call.str()}));
  return number;
}

Result<std::vector<model::LogEntry>> read_log(Sql& sql, const model::CallId& call,
                                              std::uint64_t after, std::size_t limit) {
  std::vector<model::LogEntry> entries;
  bool damaged = false;
  THAW_TRY_VOID(sql.each(
      "SELECT number, kind, input, idx, attempts, outcome, container, payload, checksum "
      "FROM call_log WHERE call = ? AND number > ? AND number <= ? ORDER BY number LIMIT ?",
      {call.str(), static_cast<std::int64_t>(after), last_possible_number,
       static_cast<std::int64_t>(limit)},
      [&](const Row& row) {
        model::LogEntry entry;
        entry.number = static_cast<std::uint64_t>(row.integer(0));
        entry.kind = static_cast<model::LogEntry::Kind>(row.integer(1));
        entry.input = model::InputId(row.text(2));
        entry.index = static_cast<int>(row.integer(3));
        entry.attempts = static_cast<int>(row.integer(4));
        entry.outcome = static_cast<model::OutcomeKind>(row.integer(5));
        entry.container = model::ContainerId(row.text(6));
        entry.payload = row.text(7);
        const auto within = [&row](int column, auto last) {
          return row.integer(column) >= 0 && row.integer(column) <= static_cast<std::int64_t>(last);
        };
        damaged = damaged || checksum(entry.payload) != row.text(8) ||
                  !within(1, model::LogEntry::Kind::final_) || row.integer(1) == 0 ||
                  !within(5, model::OutcomeKind::internal_failure);
        entries.push_back(std::move(entry));
      }));
  if (damaged) {
    return damaged_payload(call);
  }
  return entries;
}

Result<std::optional<StoredCall>> load_call(Sql& sql, const model::CallId& call) {
  std::optional<StoredCall> stored;
  THAW_TRY_VOID(sql.each(std::string(call_columns) + "WHERE id = ?", {call.str()},
                         [&stored](const Row& row) { stored = call_of_row(row); }));
  if (stored) {
    THAW_TRY_VOID(load_rest(sql, *stored));
  }
  return stored;
}

Result<std::vector<StoredCall>> load_unfinished(Sql& sql) {
  std::vector<StoredCall> calls;
  THAW_TRY_VOID(sql.each(std::string(call_columns) +
                             "WHERE finished_us IS NULL OR id IN (SELECT call FROM inputs "
                             "WHERE ended = 0)",
                         {}, [&calls](const Row& row) { calls.push_back(call_of_row(row)); }));
  for (StoredCall& stored : calls) {
    THAW_TRY_VOID(load_rest(sql, stored));
  }
  return calls;
}

Result<void> repair(Sql& sql, WallTime now) {
  THAW_TRY_VOID(
      sql.run("UPDATE calls SET finished_us = ? WHERE finished_us IS NULL AND NOT EXISTS "
              "(SELECT 1 FROM inputs WHERE call = calls.id AND ended = 0)",
              {micros(now)}));
  const std::string lost = "call NOT IN (SELECT id FROM calls WHERE id IS NOT NULL)";
  std::int64_t orphans = 0;
  THAW_TRY_VOID(sql.each("SELECT count(*) FROM inputs WHERE " + lost, {},
                         [&orphans](const Row& row) { orphans = row.integer(0); }));
  if (orphans > 0) {
    log_error("inputs of calls that are gone are set aside", {{"inputs", std::to_string(orphans)}});
    const store::Unreadable rows{"inputs",
                                 {"id", "call", "idx", "payload", "ended"},
                                 lost,
                                 {},
                                 "inputs of lost calls",
                                 "their call is gone"};
    THAW_TRY_VOID(store::set_aside(sql, rows));
  }
  THAW_TRY_VOID(sql.run("DELETE FROM call_log WHERE " + lost, {}));
  return ok();
}

store::Unreadable unreadable_input(const StoredInput& input, const model::CallId& call) {
  return {
      "inputs",
      {"id", "call", "idx", "payload", "checksum", "attempts", "retries", "enqueued_us", "ended"},
      "rowid = ?",
      {input.order},
      "an input of the call " + call.str(),
      input.unreadable};
}

store::Unreadable unreadable_call(const StoredCall& stored, std::string reason) {
  return {"calls",
          {"id", "workspace", "app", "function", "options", "created_us"},
          "rowid = ?",
          {stored.row},
          "call " + stored.call.id.str(),
          std::move(reason)};
}

Result<std::int64_t> delete_finished(Sql& sql, WallTime before, int limit) {
  std::vector<std::string> ids;
  THAW_TRY_VOID(sql.each("SELECT id FROM calls WHERE finished_us < ? LIMIT ?",
                         {micros(before), std::int64_t{limit}},
                         [&ids](const Row& row) { ids.push_back(row.text(0)); }));
  for (const std::string& id : ids) {
    THAW_TRY_VOID(sql.run("DELETE FROM call_log WHERE call = ?", {id}));
    THAW_TRY_VOID(sql.run("DELETE FROM inputs WHERE call = ?", {id}));
    THAW_TRY_VOID(sql.run("DELETE FROM calls WHERE id = ?", {id}));
  }
  return static_cast<std::int64_t>(ids.size());
}

}  // namespace thaw::queue::detail
