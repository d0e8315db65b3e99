// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "thaw/base/check.h"
#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

using State = Input::State;

// From `storing`: into the list of its line. From the held ones: back to the ready ones.
void Queue::make_ready(Input& input, Place place) {
  Line& line = *input.call->line;
  const auto position = place == Place::front ? line.ready.begin() : line.ready.end();
  if (input.state == State::storing) {
    input.place = line.ready.insert(position, &input);
  } else {
    line.ready.splice(position, line.held, input.place);
  }
  ++line.function->ready;
  input.state = State::ready;
  input.ready_since = wall_now();
  Call& call = *input.call;
  if (call.expires != Instant::max() && !call.is_watched) {
    watch_expiry(call, std::max(call.expires, monotonic_now() + 1s));  // it came back too late
  }
  report(line);
}

// Into the held inputs of its line, from wherever it is; `ending` until its caller says otherwise.
void Queue::hold(Input& input) {
  Line& line = *input.call->line;
  switch (input.state) {
    case State::storing: input.place = line.held.insert(line.held.end(), &input); break;
    case State::ready:
      line.held.splice(line.held.end(), line.ready, input.place);
      --line.function->ready;
      break;
    case State::delayed: due_.erase(input.due); break;
    case State::leased:
    case State::ending:
    case State::ended: break;
  }
  input.state = State::ending;
}

void Queue::leave_container(Input& input) {
  const auto found = containers_.find(input.container);
  if (input.container.empty() || found == containers_.end()) {
    return;
  }
  found->second.erase(input.lease_place);
  if (found->second.empty()) {
    containers_.erase(found);
  }
  input.container = ContainerId();
  --input.call->line->leased;
  report(*input.call->line);
}

LeasedInput Queue::leased(const Input& input) const {
  LeasedInput out;
  out.input = input.id;
  out.workspace = input.call->call.workspace;
  out.call = input.call->call.id;
  out.function = input.call->call.function;
  out.durability = input.call->call.durability;
  out.index = input.index;
  out.attempt = input.attempts;
  out.retry = input.retries;
  out.payload = input.payload;
  out.enqueued_at = input.enqueued_at;
  out.run_for = input.call->call.limits.run_for;
  out.end_by = input.call->end_by;
  out.token = input.call->call.token;
  out.origin = input.call->call.origin;
  out.is_only_delivery =
      input.call->durable() && input.call->call.limits.redeliveries.value_or(1) == 0;
  return out;
}

std::vector<LeasedInput> Queue::lease(const Target& target, const ContainerId& container,
                                      std::size_t max, const Taker& taker) {
  std::vector<LeasedInput> leases;
  THAW_CHECK(!container.empty());
  const auto found = lines_.find(target);
  if (found == lines_.end() || found->second->ready.empty() || max == 0) {
    return leases;
  }
  Line& line = *found->second;
  std::list<Input*>& mine = containers_[container];
  struct Delivered {
    InputId input;
    int attempts;
    int retries;
  };
  std::vector<Delivered> durable;
  Doomed late;
  while (!line.ready.empty() && leases.size() < max) {
    Input& input = *line.ready.front();
    if (input.call->has_expired()) {
      hold(input);
      late.inputs.push_back(&input);
      continue;
    }
    line.held.splice(line.held.end(), line.ready, input.place);
    --line.function->ready;
    input.state = State::leased;
    input.container = container;
    input.version = taker.version;
    input.orphaned = false;
    input.owed = {};
    input.lease_place = mine.insert(mine.end(), &input);
    ++input.attempts;
    ++line.leased;
    if (input.call->started_at == WallTime{}) {
      input.call->started_at = wall_now();
    }
    if (input.call->call.status == model::StatusEntries::yes) {
      tell(*input.call, &input,
           {model::CallStatus::What::started, taker.level, std::string(taker.version)});
    }
    if (input.call->durable()) {
      durable.push_back({input.id, input.attempts, input.retries});
    }
    leases.push_back(leased(input));
  }
  if (mine.empty()) {
    containers_.erase(container);
  }
  if (!late.inputs.empty()) {
    late.outcome.kind = OutcomeKind::expired;
    tasks_.start("expired calls", end_what_may_not_run(*this, alive_, {std::move(late)}));
  }
  if (!durable.empty()) {
    database_.write_later([durable = std::move(durable),
                           now = wall_now()](store::Transaction& transaction) -> Result<void> {
      for (const Delivered& one : durable) {
        THAW_TRY_VOID(note_start(transaction, one.input, one.attempts, one.retries, now));
      }
      return ok();
    });
  }
  report(line);
  return leases;
}

// Writes are committed in the order in which they were asked for: one more, of nothing, ends with
// or after them.
async::Task<void> Queue::recorded() {
  std::function<Result<void>(store::Transaction&)> nothing = [](store::Transaction&) {
    return ok();
  };
  co_return co_await database_.write<void>(std::move(nothing));
}

async::Task<void> Queue::record(std::vector<LeasedInput> inputs) {
  std::function<Result<void>(store::Transaction&)> work =
      [inputs = std::move(inputs),
       now = wall_now()](store::Transaction& transaction) -> Result<void> {
    for (const LeasedInput& one : inputs) {
      THAW_TRY_VOID(note_start(transaction, one.input, one.attempt, one.retry, now));
    }
    return ok();
  };
  co_return co_await database_.write<void>(std::move(work));
}

void Queue::retry_later(Input& input, Duration delay) {
  leave_container(input);
  ++input.retries;
  input.state = State::delayed;
  const Instant when = monotonic_now() + delay;
  input.due = due_.emplace(when, &input);
  start_timer();
  if (input.due == due_.begin()) {
    due_changed_.notify_all();
  }
}

void Queue::start_timer() {
  if (!timer_started_) {
    timer_started_ = true;
    tasks_.start("retry inputs", retry_when_due(*this, alive_));
  }
}

async::Task<void> Queue::retry_when_due(Queue& self, Alive alive) {
  while (*alive) {
    self.retry_due();
    self.expire_due();
    Instant next = self.due_.empty() ? Instant::max() : self.due_.begin()->first;
    if (!self.expiries_.empty()) {
      next = std::min(next, self.expiries_.begin()->first);
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await self.due_changed_.wait(next));
  }
  co_return ok();
}

void Queue::watch_expiry(Call& call, Instant when) {
  call.is_watched = true;
  call.expiry = expiries_.emplace(when, &call);
  start_timer();
  if (call.expiry == expiries_.begin()) {
    due_changed_.notify_all();
  }
}

// What waits ends. What a container has goes on, and ends as its container says.
void Queue::expire_due() {
  const Instant now = monotonic_now();
  Doomed late;
  late.outcome.kind = OutcomeKind::expired;
  while (!expiries_.empty() && expiries_.begin()->first <= now) {
    Call& call = *expiries_.begin()->second;
    expiries_.erase(expiries_.begin());
    call.is_watched = false;
    const std::size_t before = late.inputs.size();
    for (const auto& [index, input] : call.inputs) {
      if (input->state == State::ready || input->state == State::delayed) {
        hold(*input);
        late.inputs.push_back(input.get());
      }
    }
    std::sort(late.inputs.begin() + static_cast<std::ptrdiff_t>(before), late.inputs.end(),
              [](const Input* a, const Input* b) { return a->index < b->index; });
  }
  if (!late.inputs.empty()) {
    tasks_.start("expired calls", end_what_may_not_run(*this, alive_, {std::move(late)}));
  }
}

void Queue::retry_due() {
  const Instant now = monotonic_now();
  while (!due_.empty() && due_.begin()->first <= now) {
    Input& input = *due_.begin()->second;
    due_.erase(due_.begin());
    make_ready(input, Place::back);
    input.call->line->became_ready.notify_all();
  }
}

}  // namespace thaw::queue::detail
