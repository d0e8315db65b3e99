// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/callback_loop.h"

#include <algorithm>
#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/base/check.h"

namespace thaw::gateway {

using async::Task;
using queue::CallbackLane;
using queue::CallbackTurn;
using queue::DueCallback;

namespace {

// After a failure of our own disk.
constexpr Duration pause_of_ours = 1s;

// The same at each try, and of no other message.
std::string message_id(const DueCallback& callback, std::uint64_t number) {
  return "cb_" + callback.call.str() + "_" + std::to_string(callback.ordinal) + "_" +
         std::to_string(number);
}

void count_down(std::map<std::string, std::size_t>& counts, const std::string& key) {
  const auto found = counts.find(key);
  THAW_CHECK(found != counts.end() && found->second > 0);
  if (--found->second == 0) {
    counts.erase(found);
  }
}

std::size_t count_of(const std::map<std::string, std::size_t>& counts, const std::string& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

// What an Error of ours or of what is stored means for a callback.
CallbackAnswer answer_for(const Error& error) {
  const bool may_pass = error.code() == Code::unavailable ||
                        error.code() == Code::resource_exhausted ||
                        error.code() == Code::deadline_exceeded;
  return {may_pass ? CallbackAnswer::Kind::later : CallbackAnswer::Kind::never, error.message()};
}

}  // namespace

CallbackLoop::CallbackLoop(CallbackLoopParts parts, CallbackShares shares)
    : parts_(std::move(parts)), shares_(shares), tasks_(parts_.loop) {
  parts_.queue.callbacks().on_due(
      [this](const CallbackLane& key) { look_at(lane_of(key), monotonic_now()); });
}

void CallbackLoop::start() { tasks_.start("callbacks", run(*this)); }

Task<void> CallbackLoop::stop() {
  parts_.queue.callbacks().on_due(nullptr);
  return tasks_.stop();
}

CallbackLoop::Counters CallbackLoop::counters() const {
  Counters all = counters_;
  all.under_way = under_way_;
  all.lanes = lanes_.size();
  return all;
}

CallbackLoop::Lane& CallbackLoop::lane_of(const CallbackLane& key) {
  std::unique_ptr<Lane>& slot = lanes_[key];
  if (!slot) {
    slot = std::make_unique<Lane>();
    slot->key = key;
  }
  return *slot;
}

void CallbackLoop::look_at(Lane& lane, Instant when) {
  if (lane.is_awaited) {
    if (lane.place->first <= when) {
      return;
    }
    awaited_.erase(lane.place);
  }
  lane.is_awaited = true;
  lane.place = awaited_.emplace(when, &lane);
  if (lane.place == awaited_.begin()) {
    changed_.notify_all();
  }
}

void CallbackLoop::hold_up(Lane& lane) {
  if (!lane.is_held_up) {
    lane.is_held_up = true;
    held_up_[lane.key.workspace.str()].push_back(&lane);
  }
}

// Workspaces take turns; of one the lane that has waited longest comes first. No more are looked at
// than there are places for: those behind them keep their turn.
void CallbackLoop::admit_held_up() {
  const Instant now = monotonic_now();
  std::size_t free = shares_.at_once - std::min(shares_.at_once, under_way_);
  std::size_t without_room = 0;  // workspaces, one after the other
  while (free > 0 && without_room < held_up_.size()) {
    auto turn = held_up_.upper_bound(last_admitted_);
    turn = turn == held_up_.end() ? held_up_.begin() : turn;
    last_admitted_ = turn->first;
    std::list<Lane*>& lanes = turn->second;
    const auto next = count_of(of_workspace_, turn->first) < shares_.per_workspace
                          ? std::find_if(lanes.begin(), lanes.end(),
                                         [this](const Lane* lane) { return room_for(*lane) > 0; })
                          : lanes.end();
    if (next == lanes.end()) {
      ++without_room;
      continue;
    }
    Lane& lane = **next;
    lanes.erase(next);
    lane.is_held_up = false;
    if (lanes.empty()) {
      held_up_.erase(turn);
    }
    look_at(lane, now);
    --free;
    without_room = 0;
  }
}

void CallbackLoop::forget(Lane& lane) {
  if (!lane.is_awaited && !lane.is_held_up && lane.under_way.empty()) {
    lanes_.erase(lanes_.find(lane.key));
  }
}

std::size_t CallbackLoop::room_for(const Lane& lane) const {
  const auto left = [](std::size_t most, std::size_t there) {
    return most > there ? most - there : 0;
  };
  const std::size_t of_lane = lane.failures >= failures_to_rest ? 1 : shares_.per_lane;
  return std::min({left(of_lane, lane.under_way.size()), left(shares_.at_once, under_way_),
                   left(shares_.per_workspace, count_of(of_workspace_, lane.key.workspace.str())),
                   left(shares_.per_receiver, count_of(of_receiver_, lane.key.receiver))});
}

Task<void> CallbackLoop::run(CallbackLoop& self) {
  while (true) {
    const auto lanes = co_await self.parts_.queue.callbacks().begin();
    if (lanes) {
      for (const CallbackLane& key : *lanes) {
        self.look_at(self.lane_of(key), monotonic_now());
      }
      break;
    }
    if (lanes.error().code() == Code::cancelled) {
      co_return lanes.error();
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(pause_of_ours));
  }
  while (true) {
    const Instant first = self.awaited_.empty() ? Instant::max() : self.awaited_.begin()->first;
    if (first > monotonic_now()) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await self.changed_.wait(first));
      continue;
    }
    Lane& lane = *self.awaited_.begin()->second;
    self.awaited_.erase(self.awaited_.begin());
    lane.is_awaited = false;
    const CallbackLane key = lane.key;
    const Result<void> looked = co_await look(self, key);
    if (!looked) {
      if (looked.error().code() == Code::cancelled) {
        co_return looked;
      }
      self.look_at(self.lane_of(key), monotonic_now() + pause_of_ours);
    }
  }
}

// Whatever becomes due while this waits is looked at once more.
Task<void> CallbackLoop::look(CallbackLoop& self, CallbackLane key) {
  queue::Callbacks& rows = self.parts_.queue.callbacks();
  const Instant rests_until = self.lane_of(key).rests_until;
  if (rests_until > monotonic_now()) {
    self.look_at(self.lane_of(key), rests_until);
    self.admit_held_up();  // it has not taken its place
    co_return ok();
  }
  const WallTime now = wall_now();
  const std::size_t room = self.room_for(self.lane_of(key));
  if (room == 0) {
    self.hold_up(self.lane_of(key));
    co_return ok();
  }
  const std::size_t most = room + self.lane_of(key).under_way.size();
  // What was under way when the question was asked may have ended before the answer: it is looked
  // at again then, and is not taken from an answer that is old.
  const std::set<std::int64_t> busy = self.lane_of(key).under_way;
  THAW_CO_TRY(std::vector<DueCallback> due, co_await rows.due(key, now, most));
  const bool may_be_more = due.size() == most;
  THAW_CO_TRY(const std::optional<WallTime> next, co_await rows.next_due(key, now));
  Lane& lane = self.lane_of(key);
  const std::size_t before = self.under_way_;
  for (DueCallback& callback : due) {
    if (!busy.contains(callback.row) && self.room_for(lane) > 0) {
      self.begin(lane, std::move(callback));
    }
  }
  if (may_be_more) {
    self.hold_up(lane);
  }
  if (next) {
    self.look_at(lane, monotonic_now() + (*next - now));
  }
  self.forget(lane);
  if (self.under_way_ == before) {
    self.admit_held_up();
  }
  co_return ok();
}

void CallbackLoop::begin(Lane& lane, DueCallback callback) {
  if (!lane.under_way.insert(callback.row).second) {
    return;
  }
  ++under_way_;
  ++of_workspace_[lane.key.workspace.str()];
  ++of_receiver_[lane.key.receiver];
  tasks_.start("callback", tell(*this, std::move(callback)));
}

void CallbackLoop::ended(const DueCallback& callback) {
  Lane& lane = lane_of(callback.lane);
  lane.under_way.erase(callback.row);
  --under_way_;
  count_down(of_workspace_, callback.lane.workspace.str());
  count_down(of_receiver_, callback.lane.receiver);
  look_at(lane, monotonic_now());
  admit_held_up();
}

Task<void> CallbackLoop::tell(CallbackLoop& self, DueCallback callback) {
  const Result<void> told = co_await tell_next(self, callback);
  if (!told && told.error().code() == Code::cancelled) {
    co_return told;
  }
  if (!told) {
    // Our disk did not take what became of it, so it will be told once more: ever more seldom, as
    // if its receiver had failed.
    Lane& lane = self.lane_of(callback.lane);
    ++lane.failures;
    const Duration rest = receiver_rest(lane.failures, self.parts_.random());
    lane.rests_until = monotonic_now() + std::max(pause_of_ours, rest);
  }
  self.ended(callback);
  co_return told;
}

Task<void> CallbackLoop::tell_next(CallbackLoop& self, DueCallback callback) {
  queue::Callbacks& rows = self.parts_.queue.callbacks();
  auto turn = co_await rows.turn(callback);
  if (turn && turn->entry && turn->entry->payload.rest) {
    if (Result<void> brought = co_await bring_rest(self, *turn); !brought) {
      turn = std::move(brought).error();
    }
  }
  if (!turn) {
    const bool is_lost =
        turn.error().code() == Code::not_found || turn.error().code() == Code::data_loss;
    if (!is_lost) {
      co_return turn.error();
    }
    ++self.counters_.given_up;
    co_return co_await rows.give_up(callback, turn.error().message());
  }
  if (!turn->entry) {
    co_return co_await rows.told(callback, callback.cursor);
  }
  CallbackDialect* dialect = self.parts_.dialect(callback.dialect);
  const std::uint64_t number = turn->entry->number;
  auto rendered = Result<std::optional<RenderedCallback>>(Error::failed_precondition(
      "this server has no dialect '" + callback.dialect + "' that could put it into words"));
  if (dialect != nullptr) {
    const bool is_large = turn->entry->payload.bytes.size() > most_bytes_on_loop;
    THAW_CO_TRY(CallbackRendering rendering, co_await dialect->prepare(callback, std::move(*turn)));
    const async::PoolShare share{self.parts_.pool, callback.lane.workspace.str()};
    rendered = is_large ? co_await async::blocking(share, std::move(rendering)) : rendering();
  }
  if (!rendered) {
    ++self.counters_.given_up;
    co_return co_await rows.give_up(callback, rendered.error().message());
  }
  if (!*rendered) {
    co_return co_await rows.told(callback, number);
  }
  THAW_CO_TRY(CallbackAnswer answer, co_await send(self, callback, number, std::move(**rendered)));
  if (answer.kind == CallbackAnswer::Kind::taken) {
    ++self.counters_.delivered;
    THAW_CO_TRY_VOID(co_await rows.told(callback, number));
    Lane& lane = self.lane_of(callback.lane);
    lane.failures = 0;
    lane.rests_until = {};
    co_return ok();
  }
  if (answer.kind == CallbackAnswer::Kind::untried) {
    self.lane_of(callback.lane).rests_until = monotonic_now() + pause_of_ours;
    co_return ok();
  }
  co_return co_await not_taken(self, std::move(callback), std::move(answer));
}

Task<void> CallbackLoop::bring_rest(CallbackLoop& self, CallbackTurn& turn) {
  model::Payload& payload = turn.entry->payload;
  if (payload.length() > self.parts_.queue.callbacks().limits().told_bytes) {
    turn.left_out = payload.rest->size;
    co_return ok();
  }
  THAW_CO_TRY(payload, co_await self.parts_.queue.payloads().whole(turn.workspace, payload));
  co_return ok();
}

Task<void> CallbackLoop::not_taken(CallbackLoop& self, DueCallback callback,
                                   CallbackAnswer answer) {
  queue::Callbacks& rows = self.parts_.queue.callbacks();
  ++self.counters_.failed;
  const WallTime now = wall_now();
  const bool is_over = callback.until && now >= *callback.until;
  if (answer.kind == CallbackAnswer::Kind::later) {
    Lane& lane = self.lane_of(callback.lane);
    ++lane.failures;
    lane.rests_until = monotonic_now() + receiver_rest(lane.failures, self.parts_.random());
  }
  if (answer.kind == CallbackAnswer::Kind::never || is_over) {
    ++self.counters_.given_up;
    const std::string why = is_over ? "its time is over; " + answer.why : answer.why;
    co_return co_await rows.give_up(std::move(callback), why);
  }
  WallTime next = now + std::chrono::duration_cast<std::chrono::microseconds>(callback_pause(
                            callback.failures + 1, answer.after, self.parts_.random()));
  if (callback.until) {
    next = std::min(next, *callback.until);  // the last try
  }
  co_return co_await rows.failed(callback, next, answer.why);
}

Task<CallbackAnswer> CallbackLoop::send(CallbackLoop& self, DueCallback callback,
                                        std::uint64_t number, RenderedCallback rendered) {
  const std::string id = message_id(callback, number);
  if (!callback.sink.starts_with(model::function_sink)) {
    CallbackMessage message{id,
                            callback.lane.workspace,
                            callback.sink,
                            std::move(rendered.content_type),
                            std::move(rendered.headers),
                            std::move(rendered.body)};
    co_return co_await self.parts_.sender.send(std::move(message));
  }
  rendered.headers.emplace_back("webhook-id", id);
  const std::string name = callback.sink.substr(model::function_sink.size());
  CallbackDialect* dialect = self.parts_.dialect(callback.dialect);
  THAW_CHECK(dialect != nullptr);
  auto asked = dialect->call_for(callback.lane.workspace, name, std::move(rendered));
  if (!asked) {
    co_return answer_for(asked.error());
  }
  queue::Once once{id, id};
  const auto made = co_await self.parts_.queue.create_once(
      std::move(asked->call), std::move(asked->inputs), std::move(once));
  if (made) {
    co_return CallbackAnswer{};
  }
  if (made.error().code() == Code::cancelled) {
    co_return made.error();
  }
  co_return answer_for(made.error());
}

}  // namespace thaw::gateway
