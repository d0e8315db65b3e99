// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include "thaw/queue/detail/queue.h"
#include "thaw/queue/detail/untold.h"

namespace thaw::queue::detail {

using State = Input::State;

namespace {

constexpr std::size_t endings_per_write = 1'000;
// A result up to this size is kept whatever its workspace has on disk.
constexpr std::size_t always_stored = 64u << 10;

Outcome not_kept(const std::string& why) {
  return model::failed(OutcomeKind::failure, {.type = model::failure_type::result_not_kept,
                                              .message = "the result is not kept: " + why});
}

}  // namespace

Verdict Queue::judge(const Input& input, OutcomeKind outcome) const {
  const Call& call = *input.call;
  Delivery delivery{input.attempts - input.forgiven, input.retries,
                    call.cancelled || !call.repeats || call.has_expired()};
  if (call.expires != Instant::max()) {
    delivery.left = call.expires - monotonic_now();
  }
  return detail::judge(call.call.retry, redeliveries_of(call), delivery, outcome);
}

StoredEnding Queue::ending_of(const Input& input, Outcome outcome) {
  StoredEnding ending;
  ending.call = input.call->call.id;
  ending.input = input.id;
  ending.attempts = input.attempts;
  ending.retries = input.retries;
  LogEntry& entry = ending.entry;
  entry.kind = LogEntry::Kind::final_;
  entry.input = input.id;
  entry.index = input.index;
  entry.attempts = input.attempts;
  entry.outcome = outcome.kind;
  entry.container = input.container;
  entry.version = input.version;
  entry.at = wall_now();
  ending.wakes = wakes(*input.call, entry);
  ending.owed = input.owed;
  const bool is_told = !outcome.payload.empty() || outcome.failure != nullptr;
  entry.payload = std::move(outcome.payload);
  entry.failure = is_told ? std::move(outcome.failure) : untold_failure(outcome.kind);
  return ending;
}

// `entry.number` is 0 in a call that lives in memory: it is given here.
void Queue::end(Input& input, LogEntry entry) {
  Call& call = *input.call;
  Line& line = *call.line;
  leave_container(input);
  if (input.state == State::ready) {
    line.ready.erase(input.place);
    --line.function->ready;
  } else {
    if (input.state == State::delayed) {
      due_.erase(input.due);
    }
    line.held.erase(input.place);
  }
  input.state = State::ended;
  refund(call, input.payload.size());
  input.payload = {};
  count_unfinished(call, -1);
  call.finished_at = entry.at;
  counters_.expired += entry.outcome == OutcomeKind::expired ? 1 : 0;
  call.room.notify_all();
  report(line);
  push_entry(call, std::move(entry));
  enter_idle_if_unused(call);
}

bool Queue::is_spent(const Input& input) {
  const std::optional<int>& most = input.call->call.limits.redeliveries;
  return most && input.attempts - input.retries - input.forgiven > *most;
}

void Queue::ending_failed(Input& input, const Outcome& outcome) {
  // The outcome is not on disk, so the input has not ended. Its container may try again; if it has
  // none, another one gets it, or it waits until the disk takes its end.
  if (!input.container.empty() && !input.orphaned) {
    input.state = State::leased;
  } else if (is_spent(input)) {
    leave_container(input);
    tasks_.start("end an input later", end_later(*this, alive_, input.id, outcome));
  } else {
    leave_container(input);
    make_ready(input, Place::front);
    input.call->line->became_ready.notify_all();
  }
  input.call->changed.notify_all();
}

async::Task<void> Queue::end_later(Queue& self, Alive alive, InputId id, Outcome outcome) {
  THAW_CO_TRY_VOID(co_await async::sleep_for(1s));
  const auto found = *alive ? self.inputs_.find(id) : self.inputs_.end();
  if (!*alive || found == self.inputs_.end() || found->second->state != State::ending) {
    co_return ok();
  }
  std::vector<Input*> one{found->second};
  co_return co_await store_endings(self, std::move(one), std::move(outcome));
}

async::Task<void> Queue::end_all(Queue& self, std::vector<Input*> inputs, Outcome outcome) {
  const Alive alive = self.alive_;
  std::vector<Input*> durable;
  for (Input* input : inputs) {
    if (input->call->durable()) {
      self.hold(*input);
      durable.push_back(input);
    } else {
      self.end(*input, ending_of(*input, outcome).entry);
    }
  }
  Result<void> result;
  for (std::size_t first = 0; first < durable.size(); first += endings_per_write) {
    const auto begin = durable.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = durable.begin() + static_cast<std::ptrdiff_t>(
                                           std::min(first + endings_per_write, durable.size()));
    std::vector<Input*> some(begin, end);
    Result<void> stored = co_await store_endings(self, std::move(some), outcome);
    if (!*alive) {
      co_return closed();
    }
    if (!stored) {
      result = std::move(stored);
    }
  }
  co_return result;
}

async::Task<void> Queue::store_endings(Queue& self, std::vector<Input*> inputs, Outcome outcome) {
  const Alive alive = self.alive_;
  auto endings = std::make_shared<std::vector<StoredEnding>>();
  for (const Input* input : inputs) {
    self.payloads_.is_about_to_be_kept(input->call->call.workspace, outcome.payload);
    endings->push_back(ending_of(*input, outcome));
  }
  auto changes = std::make_shared<CallbackChanges>();
  std::function<Result<void>(store::Transaction&)> work =
      [endings, changes, now = wall_now()](store::Transaction& transaction) -> Result<void> {
    for (StoredEnding& ending : *endings) {
      THAW_TRY(ending.entry.number, end_input(transaction, ending, now, *changes));
    }
    return ok();
  };
  Result<void> stored = co_await self.database_.write<void>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (stored) {
      const std::size_t result = cost((*endings)[i].entry);
      self.count_disk(*inputs[i]->call, result, inputs[i]->payload.size());
      self.end(*inputs[i], std::move((*endings)[i].entry));
    } else {
      self.ending_failed(*inputs[i], outcome);
    }
  }
  if (stored) {
    self.callbacks_.apply(*changes);
  }
  co_return stored;
}

void Queue::apply(Input& input, const Verdict& verdict, const Outcome& outcome) {
  tell(*input.call, &input, {model::CallStatus::What::retried}, outcome);
  if (verdict.next == Verdict::Next::retry) {
    retry_later(input, verdict.delay);
  } else {
    leave_container(input);
    make_ready(input, Place::front);
    input.call->line->became_ready.notify_all();
  }
}

async::Task<void> Queue::complete(InputId id, ContainerId container, Outcome outcome) {
  const Alive alive = alive_;
  Input* input = nullptr;
  while (true) {
    const auto found = inputs_.find(id);
    input = found == inputs_.end() ? nullptr : found->second;
    if (input == nullptr || input->container != container ||
        (input->state != State::leased && input->state != State::ending)) {
      co_return ok();
    }
    if (input->state == State::leased) {
      break;
    }
    // A first outcome is on its way to the disk; this one is ignored once that has arrived.
    const Pin pin(*this, alive, *input->call);
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await input->call->changed.wait(Instant::max()));
    if (!*alive) {
      co_return closed();
    }
  }
  if (input->call->cancelled && outcome.kind == OutcomeKind::internal_failure) {
    outcome = Outcome{OutcomeKind::terminated, {}};
  }
  if (outcome.payload.size() > always_stored && disk_ != nullptr && input->call->durable() &&
      !disk_->check_quota(input->call->call.workspace.str(), outcome.payload.size())) {
    outcome = not_kept(
        "its workspace has as much on the server's disk as it may; take results as they come, or "
        "wait until older ones have expired");
  }
  const Verdict verdict = judge(*input, outcome.kind);
  if (input->call->durable() && verdict.next != Verdict::Next::redeliver) {
    co_return co_await complete_durable(*this, *input, verdict, std::move(outcome));
  }
  if (verdict.next == Verdict::Next::end) {
    end(*input, ending_of(*input, std::move(outcome)).entry);
  } else {
    apply(*input, verdict, outcome);
  }
  co_return ok();
}

async::Task<void> Queue::complete_durable(Queue& self, Input& input, Verdict verdict,
                                          Outcome outcome) {
  const Alive alive = self.alive_;
  self.hold(input);
  if (verdict.next == Verdict::Next::end) {
    // Behind what the input has said before.
    std::optional<Turn> turn;
    if (self.payloads_.is_large(outcome.payload) || input.turns) {
      turn.emplace(alive, input);
      THAW_CO_TRY_VOID(co_await Turn::wait(*turn));
      if (!*alive) {
        co_return closed();
      }
    }
    if (self.payloads_.is_large(outcome.payload)) {
      const model::WorkspaceId owner = input.call->call.workspace;
      const std::size_t bytes = outcome.payload.size();
      auto kept = co_await self.payloads_.keep(owner, std::move(outcome.payload));
      if (!*alive) {
        co_return closed();
      }
      if (!kept && self.disk_ != nullptr && !self.disk_->check_quota(owner.str(), bytes)) {
        outcome = not_kept(kept.error().message());
      } else if (!kept) {
        // A disk that is full for a moment loses nothing: its container tells it again. One that is
        // gone cannot.
        self.ending_failed(input, not_kept(kept.error().message()));
        co_return kept.error();
      } else {
        outcome.payload = std::move(*kept);
      }
    }
    turn.reset();
    std::vector<Input*> one{&input};
    co_return co_await store_endings(self, std::move(one), std::move(outcome));
  }
  std::function<Result<void>(store::Transaction&)> work =
      [id = input.id, attempts = input.attempts, retries = input.retries + 1,
       owed = input.owed](store::Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(put_owed(transaction, owed));
    return note_delivery(transaction, id, attempts, retries);
  };
  Result<void> stored = co_await self.database_.write<void>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  if (!stored) {
    self.ending_failed(input, outcome);
    co_return stored;
  }
  self.apply(input, verdict, outcome);
  // Whoever waits to learn how this delivery ended may go on.
  Call& call = *input.call;
  call.changed.notify_all();
  if (call.cancelled) {
    // Meanwhile: it is not to run again.
    std::vector<Input*> one{&input};
    Outcome terminated{OutcomeKind::terminated, {}};
    co_return co_await end_all(self, std::move(one), std::move(terminated));
  }
  co_return ok();
}

async::Task<void> Queue::release(ContainerId container, Outcome verdict) {
  const auto found = containers_.find(container);
  if (found == containers_.end()) {
    co_return ok();
  }
  const Alive alive = alive_;
  std::vector<Input*> again;
  std::vector<Input*> retried;
  std::vector<Input*> cancelled;
  std::vector<Input*> ended;
  for (Input* input : found->second) {
    if (input->state == State::ending) {
      input->orphaned = true;
    } else if (input->call->cancelled) {
      cancelled.push_back(input);
    } else {
      switch (judge(*input, verdict.kind).next) {
        case Verdict::Next::redeliver: again.push_back(input); break;
        case Verdict::Next::retry: retried.push_back(input); break;
        case Verdict::Next::end: ended.push_back(input); break;
      }
    }
  }
  std::erase_if(retried, [&](Input* input) {
    const bool in_memory = !input->call->durable();
    if (in_memory) {
      apply(*input, judge(*input, verdict.kind), verdict);
    }
    return in_memory;
  });
  // Redelivery needs no write: the delivery was recorded when it began.
  Line* line = nullptr;
  for (auto it = again.rbegin(); it != again.rend(); ++it) {
    tell(*(*it)->call, *it, {model::CallStatus::What::retried}, verdict);
    leave_container(**it);
    make_ready(**it, Place::front);
    if (line != nullptr && line != (*it)->call->line) {
      line->became_ready.notify_all();
    }
    line = (*it)->call->line;
  }
  if (line != nullptr) {
    line->became_ready.notify_all();
  }
  for (const auto* list : {&cancelled, &ended, &retried}) {
    for (Input* input : *list) {
      hold(*input);
      input->orphaned = true;
    }
  }
  Outcome terminated{OutcomeKind::terminated, {}};
  const Result<void> first = co_await end_all(*this, std::move(cancelled), std::move(terminated));
  if (!*alive) {
    co_return closed();
  }
  const Result<void> second = co_await end_all(*this, std::move(ended), verdict);
  if (!*alive) {
    co_return closed();
  }
  THAW_CO_TRY_VOID(co_await retry_all(*this, std::move(retried), std::move(verdict)));
  co_return first ? second : first;
}

// Durable inputs of a container that is gone: tried again once that is on disk.
async::Task<void> Queue::retry_all(Queue& self, std::vector<Input*> inputs, Outcome outcome) {
  const Alive alive = self.alive_;
  if (inputs.empty()) {
    co_return ok();
  }
  std::vector<StoredEnding> deliveries;
  for (const Input* input : inputs) {
    StoredEnding& one = deliveries.emplace_back();
    one.input = input->id;
    one.attempts = input->attempts;
    one.retries = input->retries + 1;
  }
  std::function<Result<void>(store::Transaction&)> work =
      [deliveries = std::move(deliveries)](store::Transaction& transaction) -> Result<void> {
    for (const StoredEnding& one : deliveries) {
      THAW_TRY_VOID(note_delivery(transaction, one.input, one.attempts, one.retries));
    }
    return ok();
  };
  const Result<void> stored = co_await self.database_.write<void>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  std::vector<Input*> cancelled;
  for (Input* input : inputs) {
    if (!stored) {
      self.ending_failed(*input, outcome);
    } else if (input->call->cancelled) {
      cancelled.push_back(input);  // meanwhile: it is not to run again
    } else {
      const Duration delay = retry_delay(input->call->call.retry, input->retries + 1);
      self.apply(*input, {Verdict::Next::retry, delay}, outcome);
      input->call->changed.notify_all();
    }
  }
  Outcome terminated{OutcomeKind::terminated, {}};
  THAW_CO_TRY_VOID(co_await end_all(self, std::move(cancelled), std::move(terminated)));
  co_return stored;
}

async::Task<void> Queue::fail_all(FunctionId id, Outcome verdict) {
  const auto found = functions_.find(id);
  if (found == functions_.end()) {
    co_return ok();
  }
  std::vector<Input*> all;
  for (const auto& [version, line] : found->second->lines) {
    std::copy_if(line->held.begin(), line->held.end(), std::back_inserter(all), [](Input* input) {
      return input->state == State::delayed || input->state == State::leased;
    });
    all.insert(all.end(), line->ready.begin(), line->ready.end());
  }
  co_return co_await end_all(*this, std::move(all), std::move(verdict));
}

async::Task<void> Queue::fail_waiting(Target target, Outcome verdict) {
  const auto found = lines_.find(target);
  if (found == lines_.end()) {
    co_return ok();
  }
  const Line& line = *found->second;
  std::vector<Input*> waiting;
  std::copy_if(line.held.begin(), line.held.end(), std::back_inserter(waiting),
               [](Input* input) { return input->state == State::delayed; });
  waiting.insert(waiting.end(), line.ready.begin(), line.ready.end());
  co_return co_await end_all(*this, std::move(waiting), std::move(verdict));
}

async::Task<std::vector<InputId>> Queue::cancel(CallId id) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  if (call->unfinished == 0 && !call->inputs.empty()) {
    co_return std::vector<InputId>{};
  }
  call->cancelled = true;
  call->room.notify_all();
  std::vector<InputId> running;
  std::vector<Input*> waiting;
  for (const auto& [index, input] : call->inputs) {
    if (input->state == State::leased) {
      running.push_back(input->id);
    } else if (input->state == State::ready || input->state == State::delayed) {
      waiting.push_back(input.get());
    }
  }
  std::sort(waiting.begin(), waiting.end(),
            [](const Input* a, const Input* b) { return a->index < b->index; });
  if (call->durable()) {
    for (Input* input : waiting) {
      hold(*input);  // before the wait, so that nobody leases them
    }
    std::function<Result<void>(store::Transaction&)> work = [id](store::Transaction& transaction) {
      return mark_cancelled(transaction, id);
    };
    const Result<void> stored = co_await database_.write<void>(std::move(work));
    if (!*alive) {
      co_return closed();
    }
    if (!stored) {
      for (Input* input : waiting) {
        ending_failed(*input, {});
      }
      call->cancelled = false;
      co_return stored.error();
    }
  }
  tell(*call, nullptr, {model::CallStatus::What::cancelled});
  Outcome terminated{OutcomeKind::terminated, {}};
  THAW_CO_TRY_VOID(co_await end_all(*this, std::move(waiting), std::move(terminated)));
  co_return running;
}

}  // namespace thaw::queue::detail
