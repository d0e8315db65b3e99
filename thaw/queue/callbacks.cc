// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/callbacks.h"

#include <algorithm>
#include <set>
#include <utility>

#include "thaw/queue/detail/callback_rows.h"
#include "thaw/queue/detail/journal.h"

namespace thaw::queue {

using async::Task;
using store::Row;
using store::Sql;

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
std::optional<WallTime> time_in(const Row& row, int column) {
  return row.is_null(column) ? std::nullopt : std::optional(wall(row.integer(column)));
}

model::CallbackWants wants_of(std::int64_t number) {
  return {(number & detail::wants_started) != 0, (number & detail::wants_output) != 0,
          (number & detail::wants_final) != 0};
}
int count_in(const Row& row, int column) {
  return static_cast<int>(std::clamp<std::int64_t>(row.integer(column), 0, 1'000'000'000));
}

CallbackState state_of(std::int64_t number) {
  return number == 0   ? CallbackState::pending
         : number == 1 ? CallbackState::delivered
                       : CallbackState::given_up;
}

// Once nothing reads them any more, the call's own times hold again.
Result<void> let_go(Sql& sql, const model::CallId& call) {
  THAW_TRY_VOID(sql.run(
      "UPDATE calls SET payloads_until_us = finished_us + payload_for_us, record_until_us = "
      "finished_us + record_for_us WHERE id = ?1 AND finished_us IS NOT NULL AND NOT EXISTS "
      "(SELECT 1 FROM callbacks WHERE call = ?1 AND state = 0)",
      {call.str()}));
  return ok();
}

// The first entry behind `after` that it wants; 0: there is none.
Result<std::uint64_t> next_wanted(Sql& sql, const DueCallback& callback, std::uint64_t after) {
  std::uint64_t number = 0;
  THAW_TRY_VOID(sql.each(
      "SELECT number FROM call_log WHERE call = ?1 AND number > ?2 AND ((kind = 5 AND ?3 & 4) OR "
      "(kind = 1 AND ?3 & 2) OR (kind = 4 AND status = 1 AND ?3 & 1)) ORDER BY number LIMIT 1",
      {callback.call.str(), static_cast<std::int64_t>(after), detail::number_of(callback.wants)},
      [&number](const Row& row) { number = static_cast<std::uint64_t>(row.integer(0)); }));
  return number;
}

// The entry without its payload.
Result<std::optional<model::LogEntry>> read_bare(Sql& sql, const DueCallback& callback,
                                                 std::uint64_t number) {
  std::optional<model::LogEntry> entry;
  THAW_TRY_VOID(
      sql.each("SELECT kind, input, idx, attempts, outcome, container, at_us, failure_type, "
               "failure_message, version FROM call_log WHERE call = ? AND number = ? AND "
               "kind IN (1, 5) AND outcome BETWEEN 0 AND 5",
               {callback.call.str(), static_cast<std::int64_t>(number)}, [&](const Row& row) {
                 entry.emplace();
                 entry->number = number;
                 entry->kind = static_cast<model::LogEntry::Kind>(row.integer(0));
                 entry->input = model::InputId(row.text(1));
                 entry->index = count_in(row, 2);
                 entry->attempts = count_in(row, 3);
                 entry->outcome = static_cast<model::OutcomeKind>(row.integer(4));
                 entry->container = model::ContainerId(row.text(5));
                 entry->at = wall(row.integer(6));
                 entry->version = row.text(9);
                 if (!row.is_null(7)) {
                   entry->failure = std::make_shared<const model::Failure>(
                       model::Failure{.type = row.text(7), .message = row.text(8)});
                 }
               }));
  return entry;
}

Result<std::uint64_t> payload_bytes(Sql& sql, const DueCallback& callback, std::uint64_t number) {
  std::uint64_t bytes = 0;
  THAW_TRY_VOID(
      sql.each("SELECT length(payload) FROM call_log WHERE call = ? AND number = ?",
               {callback.call.str(), static_cast<std::int64_t>(number)},
               [&bytes](const Row& row) { bytes = static_cast<std::uint64_t>(row.integer(0)); }));
  return bytes;
}

Result<CallbackTurn> read_turn(Sql& sql, const DueCallback& callback, std::size_t most_bytes) {
  std::optional<CallbackTurn> turn;
  THAW_TRY_VOID(
      sql.each("SELECT workspace, app, function, options, created_us, finished_us, cancelled, "
               "(SELECT min(started_us) FROM inputs WHERE call = ?1) FROM calls WHERE id = ?1",
               {callback.call.str()}, [&](const Row& row) {
                 turn.emplace();
                 turn->call = callback.call;
                 turn->workspace = model::WorkspaceId(row.text(0));
                 turn->app = model::AppId(row.text(1));
                 turn->function = model::FunctionId(row.text(2));
                 turn->options = row.text(3);
                 turn->created_at = wall(row.integer(4));
                 turn->finished_at = time_in(row, 5);
                 turn->is_cancelled = row.integer(6) != 0;
                 turn->started_at = time_in(row, 7);
               }));
  if (!turn) {
    return Error::not_found("its call " + callback.call.str() + " is gone");
  }
  THAW_TRY(const std::uint64_t number, next_wanted(sql, callback, callback.cursor));
  if (number == 0) {
    return std::move(*turn);
  }
  THAW_TRY(const std::uint64_t bytes, payload_bytes(sql, callback, number));
  if (bytes > most_bytes) {
    turn->left_out = bytes;
    THAW_TRY(turn->entry, read_bare(sql, callback, number));
  } else {
    THAW_TRY(auto entries, detail::read_log(sql, callback.call, number - 1, 1));
    if (!entries.empty()) {
      turn->entry = std::move(entries.front());
    }
  }
  if (!turn->entry) {
    return Error::data_loss("an entry of its call " + callback.call.str() + " cannot be read");
  }
  return std::move(*turn);
}

// Whatever has come meanwhile: this runs where entries are written too.
Result<Callbacks::Changes> settle(Sql& sql, const DueCallback& callback, std::uint64_t number,
                                  WallTime now) {
  Callbacks::Changes changes;
  THAW_TRY(const std::uint64_t next, next_wanted(sql, callback, number));
  bool has_ended = false;
  THAW_TRY_VOID(sql.each("SELECT 1 FROM calls WHERE id = ? AND finished_us IS NOT NULL",
                         {callback.call.str()}, [&has_ended](const Row&) { has_ended = true; }));
  const bool is_done = next == 0 && has_ended;
  const std::int64_t is_news = number > callback.cursor ? 1 : 0;
  THAW_TRY(const std::int64_t changed,
           sql.run("UPDATE callbacks SET cursor = ?1, told = told + ?2, tries = tries + ?2, "
                   "failures = 0, why = '', due_us = ?3, state = ?4 WHERE n = ?5 AND state = 0",
                   {static_cast<std::int64_t>(number), is_news,
                    next == 0 ? store::Value(nullptr) : store::Value(micros(now)),
                    std::int64_t{is_done}, callback.row}));
  if (is_done && changed > 0) {
    changes.ended.push_back(callback.lane);
    THAW_TRY_VOID(let_go(sql, callback.call));
  }
  return changes;
}

Result<void> end_row(Sql& sql, std::int64_t row, const model::CallId& call, const std::string& why,
                     const CallbackLane& lane, Callbacks::Changes& changes) {
  THAW_TRY(const std::int64_t changed,
           sql.run("UPDATE callbacks SET state = 2, due_us = NULL, why = ? WHERE n = ? AND "
                   "state = 0",
                   {why.substr(0, longest_why), row}));
  if (changed > 0) {
    changes.ended.push_back(lane);
    THAW_TRY_VOID(let_go(sql, call));
  }
  return ok();
}

// What a crash, or damage on the disk, has left: nothing of it may wait for ever.
Result<Callbacks::Changes> repair(Sql& sql, WallTime now, Duration longest_try) {
  Callbacks::Changes changes;
  THAW_TRY_VOID(sql.each(
      "UPDATE callbacks SET state = 2, due_us = NULL, why = 'its record is damaged' WHERE state = "
      "0 AND (typeof(call) != 'text' OR typeof(workspace) != 'text' OR typeof(receiver) != 'text' "
      "OR typeof(sink) != 'text' OR typeof(wants) != 'integer' OR typeof(cursor) != 'integer' OR "
      "typeof(try_for_us) != 'integer' OR typeof(due_us) NOT IN ('integer', 'null') OR "
      "typeof(until_us) NOT IN ('integer', 'null')) RETURNING workspace, receiver",
      {}, [&changes](const Row& row) {
        changes.ended.push_back({model::WorkspaceId(row.text(0)), row.text(1)});
      }));
  THAW_TRY_VOID(sql.run("UPDATE callbacks SET state = 2 WHERE state NOT IN (0, 1, 2)", {}));
  // Who counts pending ones has not heard of these.
  THAW_TRY_VOID(
      sql.run("UPDATE callbacks SET due_us = coalesce(due_us, ?), until_us = try_for_us + "
              "(SELECT finished_us FROM calls WHERE id = call) WHERE state = 0 AND until_us IS "
              "NULL AND NOT EXISTS (SELECT 1 FROM calls WHERE id = call AND finished_us IS NULL)",
              {micros(now)}));
  const auto within = [now](Duration span) {
    return micros(now + std::chrono::duration_cast<std::chrono::microseconds>(span));
  };
  THAW_TRY_VOID(
      sql.run("UPDATE callbacks SET due_us = min(due_us, ?1), until_us = min(until_us, ?2) WHERE "
              "state = 0 AND (due_us > ?1 OR until_us > ?2)",
              {within(longest_pause), within(longest_try)}));
  // Whose time was over while no server ran is tried all the same.
  THAW_TRY_VOID(sql.run("UPDATE callbacks SET until_us = ?1 WHERE state = 0 AND until_us < ?1",
                        {within(shortest_try_after_start)}));
  THAW_TRY_VOID(
      sql.run("DELETE FROM callbacks WHERE state != 0 AND call NOT IN "
              "(SELECT id FROM calls WHERE id IS NOT NULL)",
              {}));
  return changes;
}

}  // namespace

Task<void> Callbacks::change(std::function<Result<Changes>(Sql&)> work) {
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
  return database_.read_now([this](Sql& sql) {
    return sql.each(
        "SELECT workspace, receiver, count(*) FROM callbacks WHERE state = 0 "
        "GROUP BY workspace, receiver",
        {}, [this](const Row& row) {
          count({model::WorkspaceId(row.text(0)), row.text(1)}, count_in(row, 2));
        });
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
  std::function<Result<Changes>(Sql&)> work =
      [now = wall_now(), most = limits_.longest_try](Sql& sql) { return repair(sql, now, most); };
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
  std::function<Result<Rows>(Sql&)> work = [lane, now, most](Sql& sql) -> Result<Rows> {
    Rows rows;
    THAW_TRY_VOID(sql.each(
        "SELECT n, call, ordinal, sink, wants, dialect, options, cursor, failures, until_us FROM "
        "callbacks WHERE workspace = ? AND receiver = ? AND state = 0 AND due_us <= ? "
        "ORDER BY due_us LIMIT ?",
        {lane.workspace.str(), lane.receiver, micros(now), static_cast<std::int64_t>(most)},
        [&](const Row& row) {
          DueCallback one;
          one.row = row.integer(0);
          one.call = model::CallId(row.text(1));
          one.ordinal = count_in(row, 2);
          one.lane = lane;
          one.sink = row.text(3);
          one.wants = wants_of(row.integer(4));
          one.dialect = row.text(5);
          one.options = row.text(6);
          one.cursor = static_cast<std::uint64_t>(std::max<std::int64_t>(row.integer(7), 0));
          one.failures = count_in(row, 8);
          one.until = time_in(row, 9);
          rows.push_back(std::move(one));
        }));
    return rows;
  };
  co_return co_await database_.read<Rows>(std::move(work));
}

Task<std::optional<WallTime>> Callbacks::next_due(CallbackLane lane, WallTime now) {
  using When = std::optional<WallTime>;
  std::function<Result<When>(Sql&)> work = [lane, now](Sql& sql) -> Result<When> {
    When when;
    THAW_TRY_VOID(sql.each(
        "SELECT min(due_us) FROM callbacks WHERE workspace = ? AND receiver = ? AND state = 0 AND "
        "due_us > ?",
        {lane.workspace.str(), lane.receiver, micros(now)},
        [&when](const Row& row) { when = time_in(row, 0); }));
    return when;
  };
  co_return co_await database_.read<When>(std::move(work));
}

Task<CallbackTurn> Callbacks::turn(DueCallback callback) {
  std::function<Result<CallbackTurn>(Sql&)> work = [callback = std::move(callback),
                                                    most = limits_.told_bytes](Sql& sql) {
    return read_turn(sql, callback, most);
  };
  co_return co_await database_.read<CallbackTurn>(std::move(work));
}

Task<void> Callbacks::told(DueCallback callback, std::uint64_t number) {
  std::function<Result<Changes>(Sql&)> work = [callback = std::move(callback), number,
                                               now = wall_now()](Sql& sql) {
    return settle(sql, callback, std::max(number, callback.cursor), now);
  };
  return change(std::move(work));
}

Task<void> Callbacks::failed(DueCallback callback, WallTime next, std::string why) {
  std::function<Result<Changes>(Sql&)> work =
      [row = callback.row, next, why = why.substr(0, longest_why)](Sql& sql) -> Result<Changes> {
    THAW_TRY_VOID(
        sql.run("UPDATE callbacks SET tries = tries + 1, failures = failures + 1, "
                "due_us = ?, why = ? WHERE n = ? AND state = 0",
                {micros(next), why, row}));
    return Changes{};
  };
  return change(std::move(work));
}

Task<void> Callbacks::give_up(DueCallback callback, std::string why) {
  std::function<Result<Changes>(Sql&)> work = [callback = std::move(callback),
                                               why = std::move(why)](Sql& sql) -> Result<Changes> {
    Changes changes;
    THAW_TRY_VOID(sql.run("UPDATE callbacks SET tries = tries + 1 WHERE n = ? AND state = 0",
                          {callback.row}));
    THAW_TRY_VOID(end_row(sql, callback.row, callback.call, why, callback.lane, changes));
    return changes;
  };
  return change(std::move(work));
}

Task<std::vector<CallbackView>> Callbacks::of(model::CallId call) {
  using Views = std::vector<CallbackView>;
  std::function<Result<Views>(Sql&)> work = [call = std::move(call)](Sql& sql) -> Result<Views> {
    Views views;
    THAW_TRY_VOID(sql.each(
        "SELECT ordinal, sink, wants, state, told, tries, why, due_us, until_us FROM callbacks "
        "WHERE call = ? ORDER BY ordinal",
        {call.str()}, [&views](const Row& row) {
          CallbackView& view = views.emplace_back();
          view.ordinal = count_in(row, 0);
          view.sink = row.text(1);
          view.wants = wants_of(row.integer(2));
          view.state = state_of(row.integer(3));
          view.told = count_in(row, 4);
          view.tries = count_in(row, 5);
          view.why = row.text(6);
          view.next_try = time_in(row, 7);
          view.until = time_in(row, 8);
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
    std::function<Result<Changes>(Sql&)> work = [before = wall_now() -
                                                          grace](Sql& sql) -> Result<Changes> {
      struct Over {
        std::int64_t row;
        model::CallId call;
        CallbackLane lane;
        std::string why;
      };
      std::vector<Over> all;
      THAW_TRY_VOID(sql.each(
          "SELECT n, call, workspace, receiver, why FROM callbacks WHERE state = 0 AND until_us < "
          "? LIMIT ?",
          {micros(before), std::int64_t{ended_per_write}}, [&all](const Row& row) {
            all.push_back({row.integer(0),
                           model::CallId(row.text(1)),
                           {model::WorkspaceId(row.text(2)), row.text(3)},
                           row.text(4)});
          }));
      Changes changes;
      for (const Over& one : all) {
        const std::string why =
            "its time is over; " +
            (one.why.empty() ? "its receiver took none of those before it" : one.why);
        THAW_TRY_VOID(end_row(sql, one.row, one.call, why, one.lane, changes));
      }
      return changes;
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
