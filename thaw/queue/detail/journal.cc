// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/journal.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/queue/detail/untold.h"
#include "thaw/store/blob_store.h"

namespace thaw::queue::detail {

using store::Row;
using store::Transaction;
using C = CallColumn;
using I = InputColumn;
using E = EntryColumn;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
std::int64_t micros(Duration duration) {
  return std::chrono::duration_cast<std::chrono::microseconds>(duration).count();
}

// Enough to notice damage; nobody is to be kept from forging it. Of bytes alone it is what it was
// before payloads had a content type, and without an encoding and a rest what it was before these.
std::string checksum(const model::Payload& payload, const model::Failure* failure = nullptr) {
  const auto shortened = [](const std::string& hex) { return hex.substr(0, 16); };
  const bool is_bare = payload.encoding.empty() && !payload.rest;
  if (payload.content_type.empty() && failure == nullptr && is_bare) {
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
  if (!is_bare) {
    add(payload.encoding);
    add(payload.rest ? payload.rest->sha256_hex : "");
    add(std::to_string(payload.rest ? payload.rest->size : 0));
  }
  return shortened(store::sha256_hex(all));
}

Error damaged_payload(const model::CallId& call) {
  return Error::data_loss("a stored payload of the call " + call.str() +
                          " is not what was written; the disk or the database is damaged");
}

constexpr store::Columns<C> whole_call = {
    C::id,         C::workspace,      C::app,          C::function,     C::max_retries,
    C::backoff,    C::max_delay_us,   C::parent_input, C::options,      C::initial_delay_us,
    C::created_us, C::cancelled,      C::finished_us,  C::origin,       C::log_status,
    C::end_by_us,  C::queue_until_us, C::run_for_us,   C::redeliveries, C::payload_for_us,
    C::version,    C::record_for_us,  C::token};

constexpr store::Columns<E> whole_entry = {
    E::number,    E::kind,         E::input,           E::idx,           E::attempts,
    E::outcome,   E::container,    E::payload,         E::checksum,      E::content_type,
    E::at_us,     E::failure_type, E::failure_message, E::failure_trace, E::failure_retryable,
    E::status,    E::version,      E::level,           E::encoding,      E::rest,
    E::rest_bytes};

constexpr std::size_t lost_at_once = 10'000;

// What was stored is what was asked for; what damage has made of it is brought back to where it can
// do no harm.
constexpr std::int64_t most_count = 1'000'000'000;
constexpr std::int64_t year_us = 366LL * 24 * 3600 * 1'000'000;

template <class Column>
int count_in(const Row<Column>& row, Column column) {
  return static_cast<int>(std::clamp<std::int64_t>(row.integer(column), 0, most_count));
}
Duration duration_in(const Row<C>& row, C column) {
  return std::chrono::microseconds(std::clamp<std::int64_t>(row.integer(column), 0, year_us));
}
template <class Column>
WallTime time_in(const Row<Column>& row, Column column) {
  return wall(std::clamp<std::int64_t>(row.integer(column), 0, 8'000 * year_us));
}
model::FailurePtr failure_in(const Row<E>& row) {
  if (row.is_null(E::failure_type)) {
    return nullptr;
  }
  return std::make_shared<const model::Failure>(
      model::Failure{.type = row.text(E::failure_type),
                     .message = row.text(E::failure_message),
                     .trace = row.text(E::failure_trace),
                     .retryable = row.integer(E::failure_retryable) != 0});
}
template <class Column>
model::Payload payload_in(const Row<Column>& row) {
  model::Payload payload{row.text(Column::payload), row.text(Column::content_type),
                         row.text(Column::encoding)};
  if (!row.is_null(Column::rest)) {
    payload.rest = std::make_shared<const model::BlobRef>(model::BlobRef{
        row.text(Column::rest),
        static_cast<std::uint64_t>(std::max<std::int64_t>(row.integer(Column::rest_bytes), 0))});
  }
  return payload;
}
store::Value rest_of(const model::Payload& payload) {
  return payload.rest ? store::Value(payload.rest->sha256_hex) : store::Value(nullptr);
}
store::Value rest_bytes_of(const model::Payload& payload) {
  return payload.rest ? store::Value(payload.rest->size) : store::Value(nullptr);
}
// Of log entries; beyond it counting on would not be exact.
constexpr std::int64_t last_possible_number = std::int64_t{1} << 53;

model::Origin origin_in(const Row<C>& row) {
  const std::int64_t number = row.integer(C::origin);
  const bool is_known = number >= 0 && number <= static_cast<std::int64_t>(model::Origin::schedule);
  return is_known ? static_cast<model::Origin>(number) : model::Origin::client;
}

StoredCall call_of_row(const Row<C>& row) {
  StoredCall stored;
  model::NewCall& call = stored.call;
  // Another type would not be found again by its text.
  call.id = model::CallId(row.stored(C::id) == store::Stored::text ? row.text(C::id) : "");
  call.workspace = model::WorkspaceId(row.text(C::workspace));
  call.app = model::AppId(row.text(C::app));
  call.function = model::FunctionId(row.text(C::function));
  call.durability = model::Durability::durable;
  call.retry.max_retries = count_in(row, C::max_retries);
  call.retry.initial_delay = duration_in(row, C::initial_delay_us);
  call.retry.max_delay = duration_in(row, C::max_delay_us);
  const double backoff = row.real(C::backoff);
  call.retry.backoff = std::isfinite(backoff) ? std::max(backoff, 0.0) : 1.0;
  call.parent_input = model::InputId(row.text(C::parent_input));
  call.options = row.text(C::options);
  stored.created_at = time_in(row, C::created_us);
  stored.cancelled = row.integer(C::cancelled) != 0;
  stored.row = row.number();
  stored.finished_at = row.is_null(C::finished_us) ? WallTime{} : time_in(row, C::finished_us);
  call.origin = origin_in(row);
  call.status =
      row.integer(C::log_status) != 0 ? model::StatusEntries::yes : model::StatusEntries::no;
  const auto maybe = [&row](C column, auto read) {
    return row.is_null(column) ? std::nullopt : std::optional(read(row, column));
  };
  call.limits = {maybe(C::queue_until_us, time_in<C>), maybe(C::end_by_us, time_in<C>),
                 maybe(C::run_for_us, duration_in), maybe(C::redeliveries, count_in<C>)};
  call.keep = {maybe(C::payload_for_us, duration_in), maybe(C::record_for_us, duration_in)};
  call.version = row.text(C::version);
  call.token = model::TokenId(row.text(C::token));
  return stored;
}

StoredInput input_of_row(const Row<I>& row) {
  StoredInput input;
  input.id = model::InputId(row.text(I::id));
  input.index = count_in(row, I::idx);
  input.payload = payload_in(row);
  input.attempts = count_in(row, I::attempts);
  input.retries = count_in(row, I::retries);
  input.enqueued_at = time_in(row, I::enqueued_us);
  input.ended = row.integer(I::ended) != 0;
  input.damaged = !input.ended && checksum(input.payload) != row.view(I::checksum);
  input.order = row.number();
  if (input.id.empty() || row.stored(I::id) != store::Stored::text) {
    input.unreadable = "it has no id";
  } else if (input.index != row.integer(I::idx)) {
    input.unreadable = "its index is none";
  }
  return input;
}

Result<void> load_rest(Transaction& transaction, StoredCall& stored) {
  const std::string id = stored.call.id.str();
  THAW_TRY_VOID(transaction.scan(
      tables::inputs, {.by = &tables::inputs_of_call, .with = {id}},
      {I::id, I::idx, I::payload, I::attempts, I::retries, I::enqueued_us, I::ended, I::checksum,
       I::content_type, I::started_us, I::encoding, I::rest, I::rest_bytes},
      [&stored](const Row<I>& row) {
        const WallTime started =
            row.is_null(I::started_us) ? WallTime{} : time_in(row, I::started_us);
        if (started != WallTime{} &&
            (stored.started_at == WallTime{} || started < stored.started_at)) {
          stored.started_at = started;
        }
        stored.inputs.push_back(input_of_row(row));
      }));
  std::sort(stored.inputs.begin(), stored.inputs.end(),
            [](const StoredInput& a, const StoredInput& b) { return a.order < b.order; });
  THAW_TRY(stored.callback_wants, load_wants(transaction, stored.call.id));
  return transaction.scan(
      tables::call_log, {.with = {id}, .to = {last_possible_number}},
      store::Columns<E>{E::number, E::kind, E::content_type, E::rest_bytes}.with_sizes(
          {E::payload}),
      [&stored](const Row<E>& row) {
        stored.last_number = static_cast<std::uint64_t>(row.integer(E::number));
        const auto kind = static_cast<model::LogEntry::Kind>(row.integer(E::kind));
        if (kind == model::LogEntry::Kind::chunk) {
          stored.piece_bytes +=
              row.size(E::payload) + row.size(E::content_type) + entry_overhead +
              static_cast<std::size_t>(std::max<std::int64_t>(row.integer(E::rest_bytes), 0));
        }
        stored.status_entries += kind == model::LogEntry::Kind::status ? 1 : 0;
      });
}

}  // namespace

Result<void> insert_call(Transaction& transaction, const model::NewCall& call,
                         WallTime created_at) {
  const std::int64_t now = micros(created_at);
  const auto maybe = [](const auto& time) {
    return time ? store::Value(micros(*time)) : store::Value(nullptr);
  };
  return transaction.insert(tables::calls, {{C::id, call.id.str()},
                                            {C::workspace, call.workspace.str()},
                                            {C::app, call.app.str()},
                                            {C::function, call.function.str()},
                                            {C::max_retries, call.retry.max_retries},
                                            {C::initial_delay_us, micros(call.retry.initial_delay)},
                                            {C::max_delay_us, micros(call.retry.max_delay)},
                                            {C::backoff, call.retry.backoff},
                                            {C::parent_input, call.parent_input.str()},
                                            {C::options, call.options},
                                            {C::created_us, now},
                                            {C::finished_us, now},
                                            {C::origin, static_cast<std::int64_t>(call.origin)},
                                            {C::log_status, static_cast<std::int64_t>(call.status)},
                                            {C::queue_until_us, maybe(call.limits.queue_until)},
                                            {C::end_by_us, maybe(call.limits.end_by)},
                                            {C::run_for_us, maybe(call.limits.run_for)},
                                            {C::redeliveries, call.limits.redeliveries},
                                            {C::payload_for_us, maybe(call.keep.payload_for)},
                                            {C::record_for_us, maybe(call.keep.record_for)},
                                            {C::version, call.version},
                                            {C::token, call.token.str()}});
}

Result<void> insert_inputs(Transaction& transaction, const model::CallId& call,
                           const std::vector<StoredInput>& inputs) {
  for (const StoredInput& input : inputs) {
    THAW_TRY_VOID(
        transaction.insert(tables::inputs, {{I::id, input.id.str()},
                                            {I::call, call.str()},
                                            {I::idx, input.index},
                                            {I::payload, input.payload.bytes},
                                            {I::content_type, input.payload.content_type},
                                            {I::checksum, checksum(input.payload)},
                                            {I::enqueued_us, micros(input.enqueued_at)},
                                            {I::encoding, input.payload.encoding},
                                            {I::rest, rest_of(input.payload)},
                                            {I::rest_bytes, rest_bytes_of(input.payload)}}));
  }
  if (!inputs.empty()) {
    THAW_TRY_VOID(transaction.update(tables::calls, {call.str()},
                                     {{C::finished_us, nullptr},
                                      {C::payloads_until_us, nullptr},
                                      {C::record_until_us, nullptr}}));
  }
  return ok();
}

Result<void> mark_cancelled(Transaction& transaction, const model::CallId& call) {
  THAW_TRY_VOID(transaction.update(tables::calls, {call.str()}, {{C::cancelled, 1}}));
  return ok();
}

Result<void> note_start(Transaction& transaction, const model::InputId& input, int attempts,
                        int retries, WallTime at) {
  THAW_TRY_VOID(transaction.update(
      tables::inputs, {input.str()},
      {{I::attempts, attempts}, {I::retries, retries}, store::keep(I::started_us, micros(at))}));
  return ok();
}

Result<void> note_delivery(Transaction& transaction, const model::InputId& input, int attempts,
                           int retries) {
  THAW_TRY_VOID(transaction.update(tables::inputs, {input.str()},
                                   {{I::attempts, attempts}, {I::retries, retries}}));
  return ok();
}

Result<void> put_owed(Transaction& transaction, const OwedLine& owed) {
  if (owed.id.empty()) {
    return ok();
  }
  return transaction.put(tables::owed_lines,
                         {{OwedColumn::id, owed.id}, {OwedColumn::line, owed.line}});
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

// All inputs of the call have ended: the times that it asked for begin.
Result<void> finish_call(Transaction& transaction, const std::string& call, WallTime now) {
  std::optional<std::int64_t> payloads_until;
  std::optional<std::int64_t> record_until;
  THAW_TRY_VOID(transaction.get(tables::calls, {call}, {C::payload_for_us, C::record_for_us},
                                [&](const Row<C>& row) {
                                  payloads_until = later(micros(now), row, C::payload_for_us);
                                  record_until = later(micros(now), row, C::record_for_us);
                                }));
  THAW_TRY_VOID(transaction.update(tables::calls, {call},
                                   {{C::finished_us, micros(now)},
                                    {C::payloads_until_us, payloads_until},
                                    {C::record_until_us, record_until}}));
  return ok();
}

Result<bool> has_unfinished(Transaction& transaction, std::string_view call) {
  return transaction.any_of(tables::inputs, {.by = &tables::inputs_unfinished, .with = {call}});
}

}  // namespace

Result<std::uint64_t> append_entry(Transaction& transaction, const model::CallId& call,
                                   const model::LogEntry& entry) {
  std::int64_t number = 1;
  THAW_TRY_VOID(transaction.scan(
      tables::call_log,
      {.with = {call.str()},
       .to = {last_possible_number},
       .order = store::Order::descending,
       .limit = 1},
      {E::number}, [&number](const Row<E>& row) { number = row.integer(E::number) + 1; }));
  const model::Failure* failure = entry.failure.get();
  const auto told = [failure](const std::string& text) {
    return failure == nullptr ? store::Value(nullptr) : store::Value(text);
  };
  const auto of_status = [&entry](std::int64_t value) {
    return entry.kind == model::LogEntry::Kind::status ? store::Value(value)
                                                       : store::Value(nullptr);
  };
  static const model::Failure none;
  const model::Failure& words = failure == nullptr ? none : *failure;
  THAW_TRY_VOID(transaction.insert(
      tables::call_log, {{E::call, call.str()},
                         {E::number, number},
                         {E::kind, static_cast<std::int64_t>(entry.kind)},
                         {E::input, entry.input.str()},
                         {E::idx, entry.index},
                         {E::attempts, entry.attempts},
                         {E::outcome, static_cast<std::int64_t>(entry.outcome)},
                         {E::container, entry.container.str()},
                         {E::payload, entry.payload.bytes},
                         {E::checksum, checksum(entry.payload, failure)},
                         {E::content_type, entry.payload.content_type},
                         {E::at_us, micros(entry.at)},
                         {E::failure_type, told(words.type)},
                         {E::failure_message, told(words.message)},
                         {E::failure_trace, told(words.trace)},
                         {E::failure_retryable, failure == nullptr ? store::Value(nullptr)
                                                                   : store::Value(words.retryable)},
                         {E::status, of_status(static_cast<std::int64_t>(entry.status.what))},
                         {E::version, version_of(entry)},
                         {E::level, of_status(static_cast<std::int64_t>(entry.status.level))},
                         {E::encoding, entry.payload.encoding},
                         {E::rest, rest_of(entry.payload)},
                         {E::rest_bytes, rest_bytes_of(entry.payload)}}));
  return static_cast<std::uint64_t>(number);
}

Result<std::uint64_t> end_input(Transaction& transaction, const StoredEnding& ending, WallTime now,
                                CallbackChanges& changes) {
  THAW_TRY_VOID(transaction.update(tables::inputs, {ending.input.str()},
                                   {{I::ended, 1},
                                    {I::attempts, ending.attempts},
                                    {I::retries, ending.retries},
                                    {I::payload, nullptr},
                                    {I::rest, nullptr},
                                    {I::rest_bytes, nullptr}}));
  THAW_TRY_VOID(put_owed(transaction, ending.owed));
  THAW_TRY(const std::uint64_t number, append_entry(transaction, ending.call, ending.entry));
  THAW_TRY(const bool goes_on, has_unfinished(transaction, ending.call.str()));
  if (!goes_on) {
    THAW_TRY_VOID(finish_call(transaction, ending.call.str(), now));
  }
  if (ending.wakes) {
    THAW_TRY_VOID(wake_callbacks(transaction, ending.call, ending.entry, now, changes));
  }
  return number;
}

Result<std::vector<model::LogEntry>> read_log(Transaction& transaction, const model::CallId& call,
                                              std::uint64_t after, std::size_t limit) {
  std::vector<model::LogEntry> entries;
  bool damaged = false;
  THAW_TRY_VOID(transaction.scan(
      tables::call_log,
      {.with = {call.str()},
       .after = {after},
       .to = {last_possible_number},
       .limit = static_cast<std::int64_t>(limit)},
      whole_entry, [&](const Row<E>& row) {
        model::LogEntry& entry = entries.emplace_back();
        entry.number = static_cast<std::uint64_t>(row.integer(E::number));
        entry.kind = static_cast<model::LogEntry::Kind>(row.integer(E::kind));
        entry.input = model::InputId(row.text(E::input));
        entry.index = static_cast<int>(row.integer(E::idx));
        entry.attempts = static_cast<int>(row.integer(E::attempts));
        entry.outcome = static_cast<model::OutcomeKind>(row.integer(E::outcome));
        entry.container = model::ContainerId(row.text(E::container));
        entry.payload = payload_in(row);
        entry.at = time_in(row, E::at_us);
        entry.failure = failure_in(row);
        const auto within = [&row](E column, auto last) {
          return row.integer(column) >= 0 && row.integer(column) <= static_cast<std::int64_t>(last);
        };
        const bool is_status = entry.kind == model::LogEntry::Kind::status;
        const bool is_known =
            within(E::kind, model::LogEntry::Kind::final_) &&
            (entry.kind == model::LogEntry::Kind::chunk ||
             entry.kind == model::LogEntry::Kind::final_ ||
             (is_status && within(E::status, model::CallStatus::What::cancelled) &&
              within(E::level, model::Level::booted)));
        if (is_status) {
          entry.status = {static_cast<model::CallStatus::What>(row.integer(E::status)),
                          static_cast<model::Level>(row.integer(E::level)), row.text(E::version)};
        }
        damaged = damaged ||
                  checksum(entry.payload, entry.failure.get()) != row.view(E::checksum) ||
                  !is_known || !within(E::outcome, model::OutcomeKind::expired);
        const bool is_final = entry.kind == model::LogEntry::Kind::final_;
        if (is_final && !row.is_null(E::version)) {
          entry.version = row.text(E::version);
        }
        if (is_final && entry.payload.empty() && !entry.failure) {
          entry.failure = untold_failure(entry.outcome);  // of before failures had words
        }
      }));
  if (damaged) {
    return damaged_payload(call);
  }
  return entries;
}

Result<std::optional<StoredCall>> load_call(Transaction& transaction, const model::CallId& call) {
  std::optional<StoredCall> stored;
  THAW_TRY_VOID(transaction.get(tables::calls, {call.str()}, whole_call,
                                [&stored](const Row<C>& row) { stored = call_of_row(row); }));
  if (stored) {
    THAW_TRY_VOID(load_rest(transaction, *stored));
  }
  return stored;
}

Result<std::vector<StoredCall>> load_unfinished(Transaction& transaction) {
  std::vector<StoredCall> calls;
  std::set<std::string, std::less<>> known;
  const auto keep = [&](const Row<C>& row) {
    known.insert(row.text(C::id));
    calls.push_back(call_of_row(row));
  };
  THAW_TRY_VOID(
      transaction.scan(tables::calls, {.by = &tables::calls_unfinished}, whole_call, keep));
  // Those that say that they are finished, but have inputs that are not.
  THAW_TRY_VOID(
      transaction.scan(tables::inputs, {.by = &tables::inputs_unfinished}, {I::call},
                       [&](const Row<I>& row) -> Result<void> {
                         const std::string_view call = row.view(I::call);
                         if (row.stored(I::call) == store::Stored::text && !known.contains(call)) {
                           THAW_TRY_VOID(transaction.get(tables::calls, {call}, whole_call, keep));
                         }
                         return ok();
                       }));
  std::sort(calls.begin(), calls.end(),
            [](const StoredCall& a, const StoredCall& b) { return a.row < b.row; });
  for (StoredCall& stored : calls) {
    THAW_TRY_VOID(load_rest(transaction, stored));
  }
  return calls;
}

Result<void> repair(Transaction& transaction, WallTime now) {
  std::vector<std::string> finished;
  THAW_TRY_VOID(transaction.scan(tables::calls, {.by = &tables::calls_unfinished}, {C::id},
                                 [&](const Row<C>& row) -> Result<void> {
                                   THAW_TRY(const bool goes_on,
                                            has_unfinished(transaction, row.view(C::id)));
                                   if (!goes_on) {
                                     finished.push_back(row.text(C::id));
                                   }
                                   return ok();
                                 }));
  for (const std::string& call : finished) {
    THAW_TRY_VOID(finish_call(transaction, call, now));
  }
  THAW_TRY(const std::int64_t orphans,
           store::set_aside_orphans(transaction, tables::inputs, store::number_of_column(I::call),
                                    tables::calls, "inputs of lost calls", "their call is gone"));
  if (orphans > 0) {
    log_error("inputs of calls that are gone are set aside", {{"inputs", std::to_string(orphans)}});
  }
  std::vector<store::Place> lost;
  do {
    lost.clear();
    THAW_TRY_VOID(transaction.scan_orphans(
        tables::call_log, E::call, tables::calls, {}, [&lost](const Row<E>& row) {
          lost.push_back(row.place());
          return lost.size() < lost_at_once ? store::Go::on : store::Go::stop;
        }));
    for (const store::Place& place : lost) {
      THAW_TRY_VOID(transaction.erase_at(tables::call_log, place));
    }
  } while (lost.size() == lost_at_once);
  return ok();
}

store::Unreadable unreadable_input(const StoredInput& input, const model::CallId& call) {
  return {&tables::inputs,
          {.number = input.order},
          "an input of the call " + call.str(),
          input.unreadable};
}

store::Unreadable unreadable_call(const StoredCall& stored, std::string reason) {
  return {
      &tables::calls, {.number = stored.row}, "call " + stored.call.id.str(), std::move(reason)};
}

namespace {

// Chunks go, and what else the log of the call carries.
Result<void> drop_payloads_of(Transaction& transaction, const std::string& call) {
  std::vector<store::Place> chunks;
  std::vector<std::pair<std::int64_t, std::string>> bare;  // numbers, with their new checksums
  THAW_TRY_VOID(transaction.scan(
      tables::call_log, {.with = {call}},
      store::Columns<E>{E::number, E::kind, E::content_type, E::failure_type, E::failure_message,
                        E::failure_trace, E::failure_retryable, E::rest}
          .with_sizes({E::payload}),
      [&](const Row<E>& row) {
        if (row.integer(E::kind) == static_cast<std::int64_t>(model::LogEntry::Kind::chunk)) {
          chunks.push_back(row.place());
        } else if (row.size(E::payload) + row.size(E::content_type) > 0 || !row.is_null(E::rest)) {
          bare.emplace_back(row.integer(E::number), checksum({}, failure_in(row).get()));
        }
      }));
  for (const store::Place& place : chunks) {
    THAW_TRY_VOID(transaction.erase_at(tables::call_log, place));
  }
  for (const auto& [number, sum] : bare) {
    THAW_TRY_VOID(transaction.update(tables::call_log, {call, number},
                                     {{E::payload, ""},
                                      {E::content_type, ""},
                                      {E::encoding, ""},
                                      {E::rest, nullptr},
                                      {E::rest_bytes, nullptr},
                                      {E::checksum, sum}}));
  }
  return ok();
}

}  // namespace

Result<std::vector<model::CallId>> drop_payloads(Transaction& transaction, WallTime now,
                                                 int limit) {
  std::vector<model::CallId> ids;
  THAW_TRY_VOID(transaction.scan(
      tables::calls, {.by = &tables::calls_payloads_until, .before = {micros(now)}, .limit = limit},
      {C::id}, [&ids](const Row<C>& row) { ids.emplace_back(row.text(C::id)); }));
  for (const model::CallId& id : ids) {
    THAW_TRY_VOID(drop_payloads_of(transaction, id.str()));
    THAW_TRY_VOID(transaction.update(tables::calls, {id.str()}, {{C::payloads_until_us, nullptr}}));
  }
  return ids;
}

Result<std::vector<model::CallId>> delete_finished(Transaction& transaction, WallTime before,
                                                   WallTime now, int limit,
                                                   CallbackChanges& changes) {
  std::vector<std::string> ids;
  const auto note = [&](const Row<C>& row) -> Result<store::Go> {
    THAW_TRY(const bool is_read, has_pending_callbacks(transaction, row.view(C::id)));
    if (!is_read) {
      ids.push_back(row.text(C::id));
    }
    return ids.size() < static_cast<std::size_t>(limit) ? store::Go::on : store::Go::stop;
  };
  THAW_TRY_VOID(transaction.scan(tables::calls,
                                 {.by = &tables::calls_kept_as_usual, .before = {micros(before)}},
                                 {C::id}, note));
  if (ids.size() < static_cast<std::size_t>(limit)) {
    THAW_TRY_VOID(transaction.scan(tables::calls,
                                   {.by = &tables::calls_record_until, .before = {micros(now)}},
                                   {C::id}, note));
  }
  for (const std::string& id : ids) {
    THAW_TRY_VOID(transaction.erase_range(tables::call_log, {.with = {id}}));
    THAW_TRY_VOID(
        transaction.erase_range(tables::inputs, {.by = &tables::inputs_of_call, .with = {id}}));
    THAW_TRY_VOID(delete_callbacks(transaction, id, changes));
    THAW_TRY_VOID(transaction.erase(tables::calls, {id}));
  }
  return std::vector<model::CallId>(ids.begin(), ids.end());
}

}  // namespace thaw::queue::detail
