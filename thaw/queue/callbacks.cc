// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/callbacks.h"

#include <algorithm>
#include <set>
#include <utility>

#include "thaw/queue/detail/callback_rows.h"
#include "thaw/queue/detail/journal.h"

namespace thaw::queue {

using async::Task;
using detail::CallbackColumn;
using detail::CallColumn;
using detail::EntryColumn;
using detail::InputColumn;
using detail::later;
using store::Row;
using store::Transaction;
using B = CallbackColumn;
using C = CallColumn;
using E = EntryColumn;
namespace tables = detail::tables;

namespace {

constexpr std::size_t longest_receiver = 300;
constexpr std::size_t longest_dialect = 64;
constexpr std::size_t longest_why = 500;
constexpr int ended_per_write = 200;
// No try is later than that; what says so is damaged, or the clock was put back.
constexpr Duration longest_pause = std::chrono::hours(2);
// A try that is under way when its time is over may still succeed.
constexpr auto grace = std::chrono::minutes(2);
constexpr auto shortest_try_after_start = std::chrono::minutes(10);

std::int64_t micros(WallTime time) { return time.time_since_epoch().count(); }
WallTime wall(std::int64_t micros) { return WallTime(std::chrono::microseconds(micros)); }
template <class Column>
std::optional<WallTime> time_in(const Row<Column>& row, Column column) {
  return row.is_null(column) ? std::nullopt : std::optional(wall(row.integer(column)));
}

model::CallbackWants wants_of(std::int64_t number) {
  return {(number & detail::wants_started) != 0, (number & detail::wants_output) != 0,
          (number & detail::wants_final) != 0};
}
template <class Column>
int count_in(const Row<Column>& row, Column column) {
  return static_cast<int>(std::clamp<std::int64_t>(row.integer(column), 0, 1'000'000'000));
}

CallbackLane lane_of(const Row<B>& row) {
  return {model::WorkspaceId(row.text(B::workspace)), row.text(B::receiver)};
}

CallbackState state_of(std::int64_t number) {
  return number == 0   ? CallbackState::pending
         : number == 1 ? CallbackState::delivered
                       : CallbackState::given_up;
}

// Once nothing reads them any more, the call's own times hold again.
Result<void> let_go(Transaction& transaction, const model::CallId& call) {
  THAW_TRY(const bool is_read, detail::has_pending_callbacks(transaction, call.str()));
  if (is_read) {
    return ok();
  }
  std::optional<std::int64_t> finished;
  std::optional<std::int64_t> payloads_until;
  std::optional<std::int64_t> record_until;
  THAW_TRY_VOID(transaction.get(tables::calls, {call.str()},
                                {C::finished_us, C::payload_for_us, C::record_for_us},
                                [&](const Row<C>& row) {
                                  finished = later(0, row, C::finished_us);
                                  if (finished) {
                                    payloads_until = later(*finished, row, C::payload_for_us);
                                    record_until = later(*finished, row, C::record_for_us);
                                  }
                                }));
  if (finished) {
    THAW_TRY_VOID(transaction.update(
        tables::calls, {call.str()},
        {{C::payloads_until_us, payloads_until}, {C::record_until_us, record_until}}));
  }
  return ok();
}

// The first entry behind `after` that it wants; 0: there is none.
Result<std::uint64_t> next_wanted(Transaction& transaction, const DueCallback& callback,
                                  std::uint64_t after) {
  std::uint64_t number = 0;
  THAW_TRY_VOID(transaction.scan(
      tables::call_log, {.with = {callback.call.str()}, .after = {after}},
      {E::number, E::kind, E::status}, [&](const Row<E>& row) {
        model::LogEntry entry;
        entry.kind = static_cast<model::LogEntry::Kind>(row.integer(E::kind));
        entry.status.what = static_cast<model::CallStatus::What>(row.integer(E::status));
        if ((detail::wanted_for(entry) & detail::number_of(callback.wants)) == 0) {
          return store::Go::on;
        }
        number = static_cast<std::uint64_t>(row.integer(E::number));
        return store::Go::stop;
      }));
  return number;
}

// The entry without its payload.
Result<std::optional<model::LogEntry>> read_bare(Transaction& transaction,
                                                 const DueCallback& callback,
                                                 std::uint64_t number) {
  std::optional<model::LogEntry> entry;
  THAW_TRY_VOID(transaction.get(
      tables::call_log, {callback.call.str(), number},
      {E::kind, E::input, E::idx, E::attempts, E::outcome, E::container, E::at_us, E::failure_type,
       E::failure_message, E::version},
      [&](const Row<E>& row) {
        const auto kind = static_cast<model::LogEntry::Kind>(row.integer(E::kind));
        const std::int64_t outcome = row.integer(E::outcome);
        const bool is_known =
            (kind == model::LogEntry::Kind::chunk || kind == model::LogEntry::Kind::final_) &&
            outcome >= 0 && outcome <= static_cast<std::int64_t>(model::OutcomeKind::expired);
        if (!is_known) {
          return;
        }
        entry.emplace();
        entry->number = number;
        entry->kind = kind;
        entry->input = model::InputId(row.text(E::input));
        entry->index = count_in(row, E::idx);
        entry->attempts = count_in(row, E::attempts);
        entry->outcome = static_cast<model::OutcomeKind>(outcome);
        entry->container = model::ContainerId(row.text(E::container));
        entry->at = wall(row.integer(E::at_us));
        entry->version = row.text(E::version);
        if (!row.is_null(E::failure_type)) {
          entry->failure = std::make_shared<const model::Failure>(model::Failure{
              .type = row.text(E::failure_type), .message = row.text(E::failure_message)});
        }
      }));
  return entry;
}

Result<std::uint64_t> payload_bytes(Transaction& transaction, const DueCallback& callback,
                                    std::uint64_t number) {
  std::uint64_t bytes = 0;
  THAW_TRY_VOID(transaction.get(tables::call_log, {callback.call.str(), number},
                                store::Columns<E>{}.with_sizes({E::payload}),
                                [&bytes](const Row<E>& row) { bytes = row.size(E::payload); }));
  return bytes;
}

// When the first input of the call was first delivered.
Result<std::optional<WallTime>> started_at(Transaction& transaction, const model::CallId& call) {
  std::optional<WallTime> first;
  THAW_TRY_VOID(transaction.scan(tables::inputs,
                                 {.by = &tables::inputs_of_call, .with = {call.str()}},
                                 {InputColumn::started_us}, [&first](const Row<InputColumn>& row) {
                                   const auto started = time_in(row, InputColumn::started_us);
                                   if (started && (!first || *started < *first)) {
                                     first = started;
                                   }
                                 }));
  return first;
}

Result<CallbackTurn> read_turn(Transaction& transaction, const DueCallback& callback,
                               std::size_t most_bytes) {
  std::optional<CallbackTurn> turn;
  THAW_TRY_VOID(transaction.get(
      tables::calls, {callback.call.str()},
      {C::workspace, C::app, C::function, C::options, C::created_us, C::finished_us, C::cancelled},
      [&](const Row<C>& row) {
        turn.emplace();
        turn->call = callback.call;
        turn->workspace = model::WorkspaceId(row.text(C::workspace));
        turn->app = model::AppId(row.text(C::app));
        turn->function = model::FunctionId(row.text(C::function));
        turn->options = row.text(C::options);
        turn->created_at = wall(row.integer(C::created_us));
        turn->finished_at = time_in(row, C::finished_us);
        turn->is_cancelled = row.integer(C::cancelled) != 0;
      }));
  if (!turn) {
    return Error::not_found("its call " + callback.call.str() + " is gone");
  }
  THAW_TRY(turn->started_at, started_at(transaction, callback.call));
  THAW_TRY(const std::uint64_t number, next_wanted(transaction, callback, callback.cursor));
  if (number == 0) {
    return std::move(*turn);
  }
  // What follows its bytes is not read here.
  THAW_TRY(const std::uint64_t bytes, payload_bytes(transaction, callback, number));
  if (bytes > most_bytes) {
    turn->left_out = bytes;
    THAW_TRY(turn->entry, read_bare(transaction, callback, number));
  } else {
    THAW_TRY(auto entries, detail::read_log(transaction, callback.call, number - 1, 1));
    if (!entries.empty()) {
      turn->entry = std::move(entries.front());
    }
  }
  if (!turn->entry) {
    return Error::data_loss("an entry of its call " + callback.call.str() + " cannot be read");
  }
  return std::move(*turn);
}

Result<bool> is_pending(Transaction& transaction, std::int64_t row) {
  bool found = false;
  THAW_TRY_VOID(transaction.get(
      tables::callbacks, {row}, {B::state},
      [&found](const Row<B>& callback) { found = callback.integer(B::state) == 0; }));
  return found;
}

// Whatever has come meanwhile: this runs where entries are written too.
Result<Callbacks::Changes> settle(Transaction& transaction, const DueCallback& callback,
                                  std::uint64_t number, WallTime now) {
  Callbacks::Changes changes;
  THAW_TRY(const bool is_open, is_pending(transaction, callback.row));
  if (!is_open) {
    return changes;
  }
  THAW_TRY(const std::uint64_t next, next_wanted(transaction, callback, number));
  bool has_ended = false;
  THAW_TRY_VOID(transaction.get(
      tables::calls, {callback.call.str()}, {C::finished_us},
      [&has_ended](const Row<C>& row) { has_ended = !row.is_null(C::finished_us); }));
  const bool is_done = next == 0 && has_ended;
  const std::int64_t is_news = number > callback.cursor ? 1 : 0;
  THAW_TRY_VOID(transaction.update(
      tables::callbacks, {callback.row},
      {{B::cursor, number},
       store::add(B::told, is_news),
       store::add(B::tries, is_news),
       {B::failures, 0},
       {B::why, ""},
       {B::due_us, next == 0 ? store::Value(nullptr) : store::Value(micros(now))},
       {B::state, is_done}}));
  if (is_done) {
    changes.ended.push_back(callback.lane);
    THAW_TRY_VOID(let_go(transaction, callback.call));
  }
  return changes;
}

enum class Try { none, one };

Result<void> end_row(Transaction& transaction, std::int64_t row, const model::CallId& call,
                     const std::string& why, const CallbackLane& lane, Try after,
                     Callbacks::Changes& changes) {
  THAW_TRY(const bool is_open, is_pending(transaction, row));
  if (!is_open) {
    return ok();
  }
  THAW_TRY_VOID(transaction.update(tables::callbacks, {row},
                                   {{B::state, 2},
                                    {B::due_us, nullptr},
                                    store::add(B::tries, after == Try::one ? 1 : 0),
                                    {B::why, why.substr(0, longest_why)}}));
  changes.ended.push_back(lane);
  return let_go(transaction, call);
}

bool is_damaged(const Row<B>& row) {
  const auto is = [&row](B column, store::Stored kind) { return row.stored(column) == kind; };
  const auto is_time = [&](B column) {
    return is(column, store::Stored::integer) || is(column, store::Stored::null);
  };
  using enum store::Stored;
  return !is(B::call, text) || !is(B::workspace, text) || !is(B::receiver, text) ||
         !is(B::sink, text) || !is(B::wants, integer) || !is(B::cursor, integer) ||
         !is(B::try_for_us, integer) || !is_time(B::due_us) || !is_time(B::until_us);
}

struct Times {
  std::optional<std::int64_t> due;
  std::optional<std::int64_t> until;
  bool operator==(const Times&) const = default;
};

// As they are to be after a crash, a time without a server, or damage: none waits for ever.
Result<Times> repaired_times(Transaction& transaction, const Row<B>& row, WallTime now,
                             Duration longest_try) {
  const auto within = [now](Duration span) {
    return micros(now + std::chrono::duration_cast<std::chrono::microseconds>(span));
  };
  Times times{later(0, row, B::due_us), later(0, row, B::until_us)};
  if (!times.until) {
    // Who counts pending ones has not heard of the end, if there was one.
    bool goes_on = false;
    THAW_TRY_VOID(transaction.get(tables::calls, {row.view(B::call)}, {C::finished_us},
                                  [&](const Row<C>& call) {
                                    goes_on = call.is_null(C::finished_us);
                                    if (const auto finished = later(0, call, C::finished_us)) {
                                      times.until = later(*finished, row, B::try_for_us);
                                    }
                                  }));
    if (!goes_on && !times.due) {
      times.due = micros(now);
    }
  }
  if (times.due) {
    times.due = std::min(*times.due, within(longest_pause));
  }
  if (times.until) {
    // Whose time was over while no server ran is tried all the same.
    times.until =
        std::max(std::min(*times.until, within(longest_try)), within(shortest_try_after_start));
  }
  return times;
}

// What a crash, or damage on the disk, has left: nothing of it may wait for ever.
Result<Callbacks::Changes> repair(Transaction& transaction, WallTime now, Duration longest_try) {
  Callbacks::Changes changes;
  std::vector<std::int64_t> damaged;
  std::vector<std::pair<std::int64_t, Times>> moved;
  THAW_TRY_VOID(transaction.scan(
      tables::callbacks, {.by = &tables::callbacks_pending},
      {B::n, B::call, B::workspace, B::receiver, B::sink, B::wants, B::cursor, B::try_for_us,
       B::due_us, B::until_us},
      [&](const Row<B>& row) -> Result<void> {
        if (is_damaged(row)) {
          damaged.push_back(row.integer(B::n));
          changes.ended.push_back(lane_of(row));
          return ok();
        }
        THAW_TRY(const Times times, repaired_times(transaction, row, now, longest_try));
        if (times != Times{later(0, row, B::due_us), later(0, row, B::until_us)}) {
          moved.emplace_back(row.integer(B::n), times);
        }
        return ok();
      }));
  for (const std::int64_t row : damaged) {
    THAW_TRY_VOID(transaction.update(
        tables::callbacks, {row},
        {{B::state, 2}, {B::due_us, nullptr}, {B::why, "its record is damaged"}}));
  }
  for (const auto& [row, times] : moved) {
    THAW_TRY_VOID(transaction.update(tables::callbacks, {row},
                                     {{B::due_us, times.due}, {B::until_us, times.until}}));
  }
  std::vector<std::int64_t> of_no_state;
  THAW_TRY_VOID(transaction.scan(tables::callbacks, {.by = &tables::callbacks.arrival},
                                 {B::n, B::state}, [&of_no_state](const Row<B>& row) {
                                   const bool is_one =
                                       row.stored(B::state) == store::Stored::integer &&
                                       row.integer(B::state) >= 0 && row.integer(B::state) <= 2;
                                   if (!is_one) {
                                     of_no_state.push_back(row.integer(B::n));
                                   }
                                 }));
  for (const std::int64_t row : of_no_state) {
    THAW_TRY_VOID(transaction.update(tables::callbacks, {row}, {{B::state, 2}}));
  }
  std::vector<std::int64_t> lost;
  THAW_TRY_VOID(transaction.scan_orphans(tables::callbacks, B::call, tables::calls,
                                         {B::n, B::state}, [&lost](const Row<B>& row) {
                                           if (row.integer(B::state) != 0) {
                                             lost.push_back(row.integer(B::n));
                                           }
                                         }));
  for (const std::int64_t row : lost) {
    THAW_TRY_VOID(transaction.erase(tables::callbacks, {row}));
  }
  return changes;
}

// Some of those whose time is over.
Result<Callbacks::Changes> end_those_of_before(Transaction& transaction, WallTime before) {
  struct Over {
    std::int64_t row;
    model::CallId call;
    CallbackLane lane;
    std::string why;
  };
  std::vector<Over> all;
  THAW_TRY_VOID(transaction.scan(
      tables::callbacks,
      {.by = &tables::callbacks_until, .before = {micros(before)}, .limit = ended_per_write},
      {B::n, B::call, B::workspace, B::receiver, B::why}, [&all](const Row<B>& row) {
        all.push_back(
            {row.integer(B::n), model::CallId(row.text(B::call)), lane_of(row), row.text(B::why)});
      }));
  Callbacks::Changes changes;
  for (const Over& one : all) {
    const std::string why =
        "its time is over; " +
        (one.why.empty() ? "its receiver took none of those before it" : one.why);
    THAW_TRY_VOID(end_row(transaction, one.row, one.call, why, one.lane, Try::none, changes));
  }
  return changes;
}

}  // namespace

Task<void> Callbacks::change(std::function<Result<Changes>(store::Transaction&)> work) {
  const std::shared_ptr<bool> alive = alive_;
  THAW_CO_TRY(const Changes changes, co_await database_.write<Changes>(std::move(work)));
  if (*alive) {
    apply(changes);
  }
  co_return ok();
}

void Callbacks::count(const CallbackLane& lane, int more) {
  Held& held = held_[lane.workspace.str()];
  std::size_t& of_receiver = held.receivers[lane.receiver];
  // Fewer than were counted is what damage on the disk looks like; it must not end the server.
  const int change =
      std::max(more, -static_cast<int>(std::min<std::size_t>(of_receiver, 1u << 30)));
  held.pending += static_cast<std::size_t>(change);  // modulo: it may be negative
  of_receiver += static_cast<std::size_t>(change);
  if (of_receiver == 0) {
    held.receivers.erase(lane.receiver);
  }
  if (held.pending == 0) {
    held_.erase(lane.workspace.str());
  }
}

void Callbacks::apply(const Changes& changes) {
  for (const CallbackLane& lane : changes.reopened) {
    count(lane, 1);
  }
  for (const CallbackLane& lane : changes.ended) {
    count(lane, -1);
  }
  for (const CallbackLane& lane : changes.due) {
    if (notify_) {
      notify_(lane);
    }
  }
}

std::size_t Callbacks::pending(const model::WorkspaceId& workspace) const {
  const auto found = held_.find(workspace.str());
  return found == held_.end() ? 0 : found->second.pending;
}

Result<void> Callbacks::load() {
  return database_.read_now([this](Transaction& transaction) {
    return transaction.scan(tables::callbacks, {.by = &tables::callbacks_pending},
                            {B::workspace, B::receiver},
                            [this](const Row<B>& row) { count(lane_of(row), 1); });
  });
}

Result<void> Callbacks::admit(const model::NewCall& call) const {
  if (call.callbacks.empty()) {
    return ok();
  }
  if (call.durability != model::Durability::durable) {
    return Error::invalid_argument(
        "a call that is not kept has no callbacks; make it an asynchronous one");
  }
  if (call.callbacks.size() > limits_.per_call) {
    return Error::invalid_argument("a call has at most " + std::to_string(limits_.per_call) +
                                   " callbacks, not " + std::to_string(call.callbacks.size()));
  }
  const auto found = held_.find(call.workspace.str());
  std::size_t pending = found == held_.end() ? 0 : found->second.pending;
  const std::size_t known = found == held_.end() ? 0 : found->second.receivers.size();
  std::set<std::string> fresh;  // receivers
  for (const model::Callback& one : call.callbacks) {
    const bool has_sizes = one.sink.size() <= limits_.sink_bytes && !one.receiver.empty() &&
                           one.receiver.size() <= longest_receiver &&
                           one.dialect.size() <= longest_dialect &&
                           one.options.size() <= limits_.options_bytes;
    if (!has_sizes) {
      return Error::invalid_argument("a callback's address has at most " +
                                     std::to_string(limits_.sink_bytes) +
                                     " bytes, and its host's name at most 255");
    }
    if (one.try_for < 1s || one.try_for > limits_.longest_try) {
      return Error::invalid_argument(
          "a callback is tried for 1 to " +
          std::to_string(static_cast<std::int64_t>(to_seconds(limits_.longest_try))) +
          " seconds after its call's end");
    }
    if (detail::number_of(one.wants) == 0) {
      return Error::invalid_argument("a callback wants at least one of: started, output, final");
    }
    ++pending;
    if (found == held_.end() || !found->second.receivers.contains(one.receiver)) {
      fresh.insert(one.receiver);
    }
  }
  if (pending > limits_.pending_per_workspace) {
    return Error::resource_exhausted("the workspace has " +
                                     std::to_string(pending - call.callbacks.size()) +
                                     " callbacks that are not delivered yet, and may have " +
                                     std::to_string(limits_.pending_per_workspace) +
                                     "; see to their receivers, or make calls without callbacks");
  }
  if (!fresh.empty() && known + fresh.size() > limits_.receivers_per_workspace) {
    return Error::resource_exhausted(
        "callbacks of the workspace wait for as many different receivers as they may (" +
        std::to_string(limits_.receivers_per_workspace) +
        "); see to those, or make calls without callbacks");
  }
  return ok();
}

Task<std::vector<CallbackLane>> Callbacks::begin() {
  std::function<Result<Changes>(store::Transaction&)> work =
      [now = wall_now(), most = limits_.longest_try](Transaction& transaction) {
        return repair(transaction, now, most);
      };
  THAW_CO_TRY_VOID(co_await change(std::move(work)));
  has_begun_ = true;
  std::vector<CallbackLane> lanes;
  for (const auto& [workspace, held] : held_) {
    for (const auto& [receiver, pending] : held.receivers) {
      lanes.push_back({model::WorkspaceId(workspace), receiver});
    }
  }
  co_return lanes;
}

Task<std::vector<DueCallback>> Callbacks::due(CallbackLane lane, WallTime now, std::size_t most) {
  using Rows = std::vector<DueCallback>;
  std::function<Result<Rows>(store::Transaction&)> work =
      [lane, now, most](Transaction& transaction) -> Result<Rows> {
    Rows rows;
    THAW_TRY_VOID(transaction.scan(tables::callbacks,
                                   {.by = &tables::callbacks_due,
                                    .with = {lane.workspace.str(), lane.receiver},
                                    .to = {micros(now)},
                                    .limit = static_cast<std::int64_t>(most)},
                                   {B::n, B::call, B::ordinal, B::sink, B::wants, B::dialect,
                                    B::options, B::cursor, B::failures, B::until_us},
                                   [&](const Row<B>& row) {
                                     DueCallback& one = rows.emplace_back();
                                     one.row = row.integer(B::n);
                                     one.call = model::CallId(row.text(B::call));
                                     one.ordinal = count_in(row, B::ordinal);
                                     one.lane = lane;
                                     one.sink = row.text(B::sink);
                                     one.wants = wants_of(row.integer(B::wants));
                                     one.dialect = row.text(B::dialect);
                                     one.options = row.text(B::options);
                                     one.cursor = static_cast<std::uint64_t>(
                                         std::max<std::int64_t>(row.integer(B::cursor), 0));
                                     one.failures = count_in(row, B::failures);
                                     one.until = time_in(row, B::until_us);
                                   }));
    return rows;
  };
  co_return co_await database_.read<Rows>(std::move(work));
}

Task<std::optional<WallTime>> Callbacks::next_due(CallbackLane lane, WallTime now) {
  using When = std::optional<WallTime>;
  std::function<Result<When>(store::Transaction&)> work =
      [lane, now](Transaction& transaction) -> Result<When> {
    When when;
    THAW_TRY_VOID(transaction.scan(tables::callbacks,
                                   {.by = &tables::callbacks_due,
                                    .with = {lane.workspace.str(), lane.receiver},
                                    .after = {micros(now)},
                                    .limit = 1},
                                   {B::due_us},
                                   [&when](const Row<B>& row) { when = time_in(row, B::due_us); }));
    return when;
  };
  co_return co_await database_.read<When>(std::move(work));
}

Task<CallbackTurn> Callbacks::turn(DueCallback callback) {
  std::function<Result<CallbackTurn>(store::Transaction&)> work =
      [callback = std::move(callback), most = limits_.told_bytes](Transaction& transaction) {
        return read_turn(transaction, callback, most);
      };
  co_return co_await database_.read<CallbackTurn>(std::move(work));
}

Task<void> Callbacks::told(DueCallback callback, std::uint64_t number) {
  std::function<Result<Changes>(store::Transaction&)> work =
      [callback = std::move(callback), number, now = wall_now()](Transaction& transaction) {
        return settle(transaction, callback, std::max(number, callback.cursor), now);
      };
  return change(std::move(work));
}

Task<void> Callbacks::failed(const DueCallback& callback, WallTime next, const std::string& why) {
  std::function<Result<Changes>(store::Transaction&)> work =
      [row = callback.row, next,
       why = why.substr(0, longest_why)](Transaction& transaction) -> Result<Changes> {
    THAW_TRY(const bool is_open, is_pending(transaction, row));
    if (is_open) {
      THAW_TRY_VOID(transaction.update(tables::callbacks, {row},
                                       {store::add(B::tries, 1),
                                        store::add(B::failures, 1),
                                        {B::due_us, micros(next)},
                                        {B::why, why}}));
    }
    return Changes{};
  };
  return change(std::move(work));
}

Task<void> Callbacks::give_up(DueCallback callback, std::string why) {
  std::function<Result<Changes>(store::Transaction&)> work =
      [callback = std::move(callback),
       why = std::move(why)](Transaction& transaction) -> Result<Changes> {
    Changes changes;
    THAW_TRY_VOID(
        end_row(transaction, callback.row, callback.call, why, callback.lane, Try::one, changes));
    return changes;
  };
  return change(std::move(work));
}

Task<std::vector<CallbackView>> Callbacks::of(model::CallId call) {
  using Views = std::vector<CallbackView>;
  std::function<Result<Views>(store::Transaction&)> work =
      [call = std::move(call)](Transaction& transaction) -> Result<Views> {
    Views views;
    THAW_TRY_VOID(transaction.scan(tables::callbacks,
                                   {.by = &tables::callbacks_of_call, .with = {call.str()}},
                                   {B::ordinal, B::sink, B::wants, B::state, B::told, B::tries,
                                    B::why, B::due_us, B::until_us},
                                   [&views](const Row<B>& row) {
                                     CallbackView& view = views.emplace_back();
                                     view.ordinal = count_in(row, B::ordinal);
                                     view.sink = row.text(B::sink);
                                     view.wants = wants_of(row.integer(B::wants));
                                     view.state = state_of(row.integer(B::state));
                                     view.told = count_in(row, B::told);
                                     view.tries = count_in(row, B::tries);
                                     view.why = row.text(B::why);
                                     view.next_try = time_in(row, B::due_us);
                                     view.until = time_in(row, B::until_us);
                                   }));
    return views;
  };
  co_return co_await database_.read<Views>(std::move(work));
}

Task<void> Callbacks::sweep() {
  if (!has_begun_) {
    co_return ok();
  }
  const std::shared_ptr<bool> alive = alive_;
  while (true) {
    std::function<Result<Changes>(store::Transaction&)> work =
        [before = wall_now() - grace](Transaction& transaction) {
          return end_those_of_before(transaction, before);
        };
    THAW_CO_TRY(const Changes changes, co_await database_.write<Changes>(std::move(work)));
    if (!*alive) {
      co_return ok();
    }
    apply(changes);
    if (changes.ended.size() < ended_per_write) {
      co_return ok();
    }
  }
}

}  // namespace thaw::queue
