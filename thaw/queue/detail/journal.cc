// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/journal.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/queue/detail/untold.h"
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

// Enough to notice damage; nobody is to be kept from forging it. Of bytes alone it is what it was
// before payloads had a content type.
std::string checksum(const model::Payload& payload, const model::Failure* failure = nullptr) {
  const auto shortened = [](const std::string& hex) { return hex.substr(0, 16); };
  if (payload.content_type.empty() && failure == nullptr) {
    return shortened(store::sha256_hex(payload.bytes));
  }
  std::string all = payload.bytes;
  const auto add = [&all](std::string_view part) {
    all += '\0';
    all += part;
  };
  add(payload.content_type);
  if (failure != nullptr) {
    add(failure->type);
    add(failure->message);
    add(failure->trace);
  }
  return shortened(store::sha256_hex(all));
}

Error damaged_payload(const model::CallId& call) {
  return Error::data_loss("a stored payload of the call " + call.str() +
                          " is not what was written; the disk or the database is damaged");
}

constexpr const char* call_columns =
    "SELECT id, workspace, app, function, max_retries, initial_delay_us, max_delay_us, backoff, "
    "parent_input, options, created_us, cancelled, rowid, typeof(id) = 'text', finished_us, "
    "origin, "
    "log_status, queue_until_us, end_by_us, run_for_us, redeliveries, payload_for_us, "
    "record_for_us, version FROM calls ";

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
// From this column on: type, message, trace, retryable.
model::FailurePtr failure_in(const Row& row, int column) {
  if (row.is_null(column)) {
    return nullptr;
  }
  return std::make_shared<const model::Failure>(
      model::Failure{.type = row.text(column),
                     .message = row.text(column + 1),
                     .trace = row.text(column + 2),
                     .retryable = row.integer(column + 3) != 0});
}
// Of log entries; beyond it counting on would not be exact.
constexpr std::int64_t last_possible_number = std::int64_t{1} << 53;

model::Origin origin_in(const Row& row, int column) {
  const std::int64_t number = row.integer(column);
  const bool is_known = number >= 0 && number <= static_cast<std::int64_t>(model::Origin::web);
  return is_known ? static_cast<model::Origin>(number) : model::Origin::client;
}

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
  stored.finished_at = row.is_null(14) ? WallTime{} : time_in(row, 14);
  call.origin = origin_in(row, 15);
  call.status = row.integer(16) != 0 ? model::StatusEntries::yes : model::StatusEntries::no;
  const auto maybe = [&row](int column, auto read) {
    return row.is_null(column) ? std::nullopt : std::optional(read(row, column));
  };
  call.limits = {maybe(17, time_in), maybe(18, time_in), maybe(19, duration_in),
                 maybe(20, count_in)};
  call.keep = {maybe(21, duration_in), maybe(22, duration_in)};
  call.version = row.text(23);
  return stored;
}

Result<void> load_rest(Sql& sql, StoredCall& stored) {
  const std::string id = stored.call.id.str();
  THAW_TRY_VOID(
      sql.each("SELECT id, idx, payload, attempts, retries, enqueued_us, ended, checksum, rowid, "
               "typeof(id) = 'text', content_type, started_us FROM inputs "
               "WHERE call = ? ORDER BY rowid",
               {id}, [&stored](const Row& row) {
                 StoredInput input;
                 input.id = model::InputId(row.text(0));
                 input.index = count_in(row, 1);
                 input.payload = {row.text(2), row.text(10)};
                 input.attempts = count_in(row, 3);
                 input.retries = count_in(row, 4);
                 input.enqueued_at = time_in(row, 5);
                 input.ended = row.integer(6) != 0;
                 input.damaged = !input.ended && checksum(input.payload) != row.text(7);
                 input.order = row.integer(8);
                 const WallTime started = row.is_null(11) ? WallTime{} : time_in(row, 11);
                 if (started != WallTime{} &&
                     (stored.started_at == WallTime{} || started < stored.started_at)) {
                   stored.started_at = started;
                 }
                 if (input.id.empty() || row.integer(9) == 0) {
                   input.unreadable = "it has no id";
                 } else if (input.index != row.integer(1)) {
                   input.unreadable = "its index is none";
                 }
                 stored.inputs.push_back(std::move(input));
               }));
  THAW_TRY(stored.callback_wants, load_wants(sql, stored.call.id));
  return sql.each(
      "SELECT coalesce(max(number), 0), coalesce(sum(CASE WHEN kind = ?1 THEN "
      "length(payload) + length(content_type) + ?3 ELSE 0 END), 0), "
      "coalesce(sum(kind = ?2), 0) FROM call_log WHERE call = ?4 AND number <= ?5",
      {static_cast<std::int64_t>(model::LogEntry::Kind::chunk),
       static_cast<std::int64_t>(model::LogEntry::Kind::status), std::int64_t{entry_overhead}, id,
       last_possible_number},
      [&stored](const Row& row) {
        stored.last_number = static_cast<std::uint64_t>(row.integer(0));
        stored.piece_bytes = static_cast<std::size_t>(std::max<std::int64_t>(row.integer(1), 0));
        stored.status_entries = static_cast<std::size_t>(row.integer(2));
      });
}

}  // namespace

Result<void> insert_call(Sql& sql, const model::NewCall& call, WallTime created_at) {
  const std::int64_t now = micros(created_at);
  const auto maybe = [](const auto& time) {
    return time ? store::Value(micros(*time)) : store::Value(nullptr);
  };
  THAW_TRY_VOID(
      sql.run("INSERT INTO calls (id, workspace, app, function, max_retries, initial_delay_us, "
              "max_delay_us, backoff, parent_input, options, created_us, finished_us, origin, "
              "log_status, queue_until_us, end_by_us, run_for_us, redeliveries, payload_for_us, "
              "record_for_us, version) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
              {call.id.str(),
               call.workspace.str(),
               call.app.str(),
               call.function.str(),
               std::int64_t{call.retry.max_retries},
               micros(call.retry.initial_delay),
               micros(call.retry.max_delay),
               call.retry.backoff,
               call.parent_input.str(),
               Blob{call.options},
               now,
               now,
               static_cast<std::int64_t>(call.origin),
               static_cast<std::int64_t>(call.status),
               maybe(call.limits.queue_until),
               maybe(call.limits.end_by),
               maybe(call.limits.run_for),
               call.limits.redeliveries ? store::Value(std::int64_t{*call.limits.redeliveries})
                                        : store::Value(nullptr),
               maybe(call.keep.payload_for),
               maybe(call.keep.record_for),
               call.version}));
  return ok();
}

Result<void> insert_inputs(Sql& sql, const model::CallId& call,
                           const std::vector<StoredInput>& inputs) {
  for (const StoredInput& input : inputs) {
    THAW_TRY_VOID(
        sql.run("INSERT INTO inputs (id, call, idx, payload, content_type, checksum, enqueued_us) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                {input.id.str(), call.str(), std::int64_t{input.index}, Blob{input.payload.bytes},
                 input.payload.content_type, checksum(input.payload), micros(input.enqueued_at)}));
  }
  if (!inputs.empty()) {
    THAW_TRY_VOID(
        sql.run("UPDATE calls SET finished_us = NULL, payloads_until_us = NULL, "
                "record_until_us = NULL WHERE id = ?",
                {call.str()}));
  }
  return ok();
}

Result<void> mark_cancelled(Sql& sql, const model::CallId& call) {
  THAW_TRY_VOID(sql.run("UPDATE calls SET cancelled = 1 WHERE id = ?", {call.str()}));
  return ok();
}

Result<void> note_start(Sql& sql, const model::InputId& input, int attempts, int retries,
                        WallTime at) {
  THAW_TRY_VOID(
      sql.run("UPDATE inputs SET attempts = ?, retries = ?, started_us = coalesce(started_us, ?) "
              "WHERE id = ?",
              {std::int64_t{attempts}, std::int64_t{retries}, micros(at), input.str()}));
  return ok();
}

Result<void> note_delivery(Sql& sql, const model::InputId& input, int attempts, int retries) {
  THAW_TRY_VOID(sql.run("UPDATE inputs SET attempts = ?, retries = ? WHERE id = ?",
                        {std::int64_t{attempts}, std::int64_t{retries}, input.str()}));
  return ok();
}

namespace {

store::Value version_of(const model::LogEntry& entry) {
  switch (entry.kind) {
    case model::LogEntry::Kind::status: return entry.status.version;
    case model::LogEntry::Kind::final_: return entry.version;
    case model::LogEntry::Kind::chunk: break;
  }
  return nullptr;
}

}  // namespace

Result<std::uint64_t> append_entry(Sql& sql, const model::CallId& call,
                                   const model::LogEntry& entry) {
  std::uint64_t number = 0;
  const model::Failure* failure = entry.failure.get();
  const auto told = [failure](const std::string& text) -> store::Value {
    return failure == nullptr ? store::Value(nullptr) : store::Value(text);
  };
  const auto of_status = [&entry](store::Value value) {
    return entry.kind == model::LogEntry::Kind::status ? std::move(value) : store::Value(nullptr);
  };
  static const model::Failure none;
  const model::Failure& words = failure == nullptr ? none : *failure;
  THAW_TRY_VOID(sql.each(
      "INSERT INTO call_log (call, number, kind, input, idx, attempts, outcome, container, "
      "payload, checksum, content_type, at_us, failure_type, failure_message, failure_trace, "
      "failure_retryable, status, version, level) VALUES "
      "(?1, (SELECT coalesce(max(number), 0) + 1 FROM call_log WHERE call = ?1 AND number <= ?16), "
      "?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?17, ?18, ?19) "
      "RETURNING number",
      {call.str(), static_cast<std::int64_t>(entry.kind), entry.input.str(),
       std::int64_t{entry.index}, std::int64_t{entry.attempts},
       static_cast<std::int64_t>(entry.outcome), entry.container.str(), Blob{entry.payload.bytes},
       checksum(entry.payload, failure), entry.payload.content_type, micros(entry.at),
       told(words.type), told(words.message), told(words.trace),
       failure == nullptr ? store::Value(nullptr) : store::Value(std::int64_t{words.retryable}),
       last_possible_number, of_status(static_cast<std::int64_t>(entry.status.what)),
       version_of(entry), of_status(static_cast<std::int64_t>(entry.status.level))},
      [&number](const Row& row) { number = static_cast<std::uint64_t>(row.integer(0)); }));
  return number;
}

Result<std::uint64_t> end_input(Sql& sql, const StoredEnding& ending, WallTime now,
                                CallbackChanges& changes) {
  THAW_TRY_VOID(
      sql.run("UPDATE inputs SET ended = 1, attempts = ?, retries = ?, payload = NULL WHERE id = ?",
              {std::int64_t{ending.attempts}, std::int64_t{ending.retries}, ending.input.str()}));
  THAW_TRY(const std::uint64_t number, append_entry(sql, ending.call, ending.entry));
  THAW_TRY_VOID(
      sql.run("UPDATE calls SET finished_us = ?1, payloads_until_us = ?1 + payload_for_us, "
              "record_until_us = ?1 + record_for_us WHERE id = ?2 AND NOT EXISTS "
              "(SELECT 1 FROM inputs WHERE call = ?2 AND ended = 0)",
              {micros(now), ending.call.str()}));
  if (ending.wakes) {
    THAW_TRY_VOID(wake_callbacks(sql, ending.call, ending.entry, now, changes));
  }
  return number;
}

Result<std::vector<model::LogEntry>> read_log(Sql& sql, const model::CallId& call,
                                              std::uint64_t after, std::size_t limit) {
  std::vector<model::LogEntry> entries;
  bool damaged = false;
  THAW_TRY_VOID(sql.each(
      "SELECT number, kind, input, idx, attempts, outcome, container, payload, checksum, "
      "content_type, at_us, failure_type, failure_message, failure_trace, failure_retryable, "
      "status, version, level FROM call_log WHERE call = ? AND number > ? AND number <= ? ORDER BY "
      "number LIMIT ?",
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
        entry.payload = {row.text(7), row.text(9)};
        entry.at = time_in(row, 10);
        entry.failure = failure_in(row, 11);
        const auto within = [&row](int column, auto last) {
          return row.integer(column) >= 0 && row.integer(column) <= static_cast<std::int64_t>(last);
        };
        const bool is_status = entry.kind == model::LogEntry::Kind::status;
        const bool is_known = within(1, model::LogEntry::Kind::final_) &&
                              (entry.kind == model::LogEntry::Kind::chunk ||
                               entry.kind == model::LogEntry::Kind::final_ ||
                               (is_status && within(15, model::CallStatus::What::cancelled) &&
                                within(17, model::Level::booted)));
        if (is_status) {
          entry.status = {static_cast<model::CallStatus::What>(row.integer(15)),
                          static_cast<model::Level>(row.integer(17)), row.text(16)};
        }
        damaged = damaged || checksum(entry.payload, entry.failure.get()) != row.text(8) ||
                  !is_known || !within(5, model::OutcomeKind::expired);
        const bool is_final = entry.kind == model::LogEntry::Kind::final_;
        if (is_final && !row.is_null(16)) {
          entry.version = row.text(16);
        }
        if (is_final && entry.payload.empty() && !entry.failure) {
          entry.failure = untold_failure(entry.outcome);  // of before failures had words
        }
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
      sql.run("UPDATE calls SET finished_us = ?1, payloads_until_us = ?1 + payload_for_us, "
              "record_until_us = ?1 + record_for_us WHERE finished_us IS NULL AND NOT EXISTS "
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

Result<std::vector<model::CallId>> drop_payloads(Sql& sql, WallTime now, int limit) {
  std::vector<model::CallId> ids;
  THAW_TRY_VOID(sql.each("SELECT id FROM calls WHERE payloads_until_us < ? LIMIT ?",
                         {micros(now), std::int64_t{limit}},
                         [&ids](const Row& row) { ids.emplace_back(row.text(0)); }));
  for (const model::CallId& id : ids) {
    THAW_TRY_VOID(sql.run("DELETE FROM call_log WHERE call = ? AND kind = ?",
                          {id.str(), static_cast<std::int64_t>(model::LogEntry::Kind::chunk)}));
    std::vector<std::pair<std::int64_t, std::string>> bare;  // numbers, with their new checksums
    THAW_TRY_VOID(
        sql.each("SELECT number, failure_type, failure_message, failure_trace, failure_retryable "
                 "FROM call_log WHERE call = ? AND length(payload) + length(content_type) > 0",
                 {id.str()}, [&bare](const Row& row) {
                   bare.emplace_back(row.integer(0), checksum({}, failure_in(row, 1).get()));
                 }));
    for (const auto& [number, sum] : bare) {
      THAW_TRY_VOID(
          sql.run("UPDATE call_log SET payload = x'', content_type = '', checksum = ? "
                  "WHERE call = ? AND number = ?",
                  {sum, id.str(), number}));
    }
    THAW_TRY_VOID(sql.run("UPDATE calls SET payloads_until_us = NULL WHERE id = ?", {id.str()}));
  }
  return ids;
}

Result<std::int64_t> delete_finished(Sql& sql, WallTime before, WallTime now, int limit,
                                     CallbackChanges& changes) {
  std::vector<std::string> ids;
  const auto note = [&ids](const Row& row) { ids.push_back(row.text(0)); };
  THAW_TRY_VOID(
      sql.each("SELECT id FROM calls WHERE finished_us < ? AND record_for_us IS NULL AND "
               "NOT EXISTS (SELECT 1 FROM callbacks WHERE call = id AND state = 0) LIMIT ?",
               {micros(before), std::int64_t{limit}}, note));
  THAW_TRY_VOID(
      sql.each("SELECT id FROM calls WHERE record_until_us < ? AND "
               "NOT EXISTS (SELECT 1 FROM callbacks WHERE call = id AND state = 0) LIMIT ?",
               {micros(now), limit - static_cast<std::int64_t>(ids.size())}, note));
  for (const std::string& id : ids) {
    THAW_TRY_VOID(sql.run("DELETE FROM call_log WHERE call = ?", {id}));
    THAW_TRY_VOID(sql.run("DELETE FROM inputs WHERE call = ?", {id}));
    THAW_TRY_VOID(delete_callbacks(sql, id, changes));
    THAW_TRY_VOID(sql.run("DELETE FROM calls WHERE id = ?", {id}));
  }
  return static_cast<std::int64_t>(ids.size());
}

}  // namespace thaw::queue::detail
