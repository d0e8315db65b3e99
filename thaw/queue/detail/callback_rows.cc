// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/detail/callback_rows.h"

#include <optional>

#include "thaw/queue/detail/journal.h"

namespace thaw::queue::detail {

using store::Row;
using store::Transaction;
using B = CallbackColumn;
using C = CallColumn;

namespace {

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }

CallbackLane lane_of(const Row<B>& row) {
  return {model::WorkspaceId(row.text(B::workspace)), row.text(B::receiver)};
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

Result<void> insert_callbacks(Transaction& transaction, const model::NewCall& call,
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
    THAW_TRY_VOID(transaction.insert(tables::callbacks, {{B::call, call.id.str()},
                                                         {B::ordinal, ordinal++},
                                                         {B::workspace, call.workspace.str()},
                                                         {B::receiver, one.receiver},
                                                         {B::sink, one.sink},
                                                         {B::wants, number_of(one.wants)},
                                                         {B::try_for_us, try_for.count()},
                                                         {B::dialect, one.dialect},
                                                         {B::options, one.options},
                                                         {B::due_us, maybe(Duration::zero())},
                                                         {B::until_us, maybe(one.try_for)}}));
  }
  return ok();
}

Result<std::int64_t> load_wants(Transaction& transaction, const model::CallId& call) {
  std::int64_t all = 0;
  // One that wants nothing more still has to hear of the end.
  THAW_TRY_VOID(transaction.scan(
      tables::callbacks, {.by = &tables::callbacks_of_call, .with = {call.str()}}, {B::wants},
      [&all](const Row<B>& row) { all |= row.integer(B::wants) | wants_final; }));
  return all;
}

Result<bool> has_pending_callbacks(Transaction& transaction, std::string_view call) {
  bool is_pending = false;
  THAW_TRY_VOID(transaction.scan(tables::callbacks,
                                 {.by = &tables::callbacks_of_call, .with = {call}}, {B::state},
                                 [&is_pending](const Row<B>& row) {
                                   is_pending = row.integer(B::state) == 0;
                                   return is_pending ? store::Go::stop : store::Go::on;
                                 }));
  return is_pending;
}

Result<void> wake_callbacks(Transaction& transaction, const model::CallId& call,
                            const model::LogEntry& entry, WallTime now, CallbackChanges& changes) {
  struct Woken {
    std::int64_t n;
    bool is_reopened;
    std::optional<std::int64_t> until;
  };
  const bool is_final = entry.kind == model::LogEntry::Kind::final_;
  std::optional<std::int64_t> finished_at;
  if (is_final) {
    THAW_TRY_VOID(transaction.get(
        tables::calls, {call.str()}, {C::finished_us},
        [&finished_at](const Row<C>& row) { finished_at = later(0, row, C::finished_us); }));
  }
  std::vector<Woken> woken;
  THAW_TRY_VOID(transaction.scan(
      tables::callbacks, {.by = &tables::callbacks_of_call, .with = {call.str()}},
      {B::n, B::workspace, B::receiver, B::wants, B::state, B::due_us, B::try_for_us},
      [&](const Row<B>& row) {
        // Delivered (1): it was told all of a call that had ended, and then got more inputs.
        const bool is_reopened = is_final && row.integer(B::state) == 1;
        const bool is_news = is_final || (row.is_null(B::due_us) &&
                                          (row.integer(B::wants) & wanted_for(entry)) != 0);
        if ((row.integer(B::state) != 0 && !is_reopened) || !is_news) {
          return;
        }
        if (is_reopened) {
          changes.reopened.push_back(lane_of(row));
        }
        changes.due.push_back(lane_of(row));
        woken.push_back({row.integer(B::n), is_reopened,
                         finished_at ? later(*finished_at, row, B::try_for_us) : std::nullopt});
      }));
  for (const Woken& one : woken) {
    if (one.is_reopened) {
      THAW_TRY_VOID(transaction.update(tables::callbacks, {one.n}, {{B::state, 0}}));
    }
    if (is_final) {
      THAW_TRY_VOID(
          transaction.update(tables::callbacks, {one.n},
                             {store::keep(B::due_us, micros(now)), {B::until_us, one.until}}));
    } else {
      THAW_TRY_VOID(transaction.update(tables::callbacks, {one.n}, {{B::due_us, micros(now)}}));
    }
  }
  if (is_final && !woken.empty()) {
    THAW_TRY_VOID(
        transaction.update(tables::calls, {call.str()},
                           {{C::payloads_until_us, nullptr}, {C::record_until_us, nullptr}}));
  }
  return ok();
}

Result<void> reopen_callbacks(Transaction& transaction, const model::CallId& call) {
  std::vector<std::int64_t> rows;
  THAW_TRY_VOID(
      transaction.scan(tables::callbacks, {.by = &tables::callbacks_of_call, .with = {call.str()}},
                       {B::n}, [&rows](const Row<B>& row) { rows.push_back(row.integer(B::n)); }));
  for (const std::int64_t row : rows) {
    THAW_TRY_VOID(transaction.update(tables::callbacks, {row}, {{B::until_us, nullptr}}));
  }
  return ok();
}

Result<void> delete_callbacks(Transaction& transaction, const std::string& call,
                              CallbackChanges& changes) {
  THAW_TRY_VOID(
      transaction.scan(tables::callbacks, {.by = &tables::callbacks_of_call, .with = {call}},
                       {B::workspace, B::receiver, B::state}, [&changes](const Row<B>& row) {
                         if (row.integer(B::state) == 0) {
                           changes.ended.push_back(lane_of(row));
                         }
                       }));
  THAW_TRY_VOID(transaction.erase_range(tables::callbacks,
                                        {.by = &tables::callbacks_of_call, .with = {call}}));
  return ok();
}

}  // namespace thaw::queue::detail
