// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

using State = Input::State;

namespace {

constexpr std::size_t durable_log_entries = 64;  // kept in memory; the rest is read from disk
constexpr std::size_t durable_log_bytes = 1u << 20;
constexpr std::size_t entries_per_page = 64;  // read from disk at a time
// A call that has no more than this unread goes on whatever its function's share says, so that what
// runs can end; and so many pieces of one call wait, which is more than an honest container sends.
constexpr std::size_t always_admitted = 64u << 10;
constexpr std::size_t most_waiting_pieces = 2;

std::function<Result<std::uint64_t>(store::Transaction&)> append_work(
    CallId id, std::shared_ptr<const LogEntry> entry, bool wakes,
    std::shared_ptr<CallbackChanges> changes) {
  return [id = std::move(id), entry = std::move(entry), wakes, changes = std::move(changes),
          now = wall_now()](store::Transaction& transaction) -> Result<std::uint64_t> {
    THAW_TRY(const std::uint64_t number, append_entry(transaction, id, *entry));
    if (wakes) {
      THAW_TRY_VOID(wake_callbacks(transaction, id, *entry, now, *changes));
    }
    return number;
  };
}

}  // namespace

void Queue::push_entry(Call& call, LogEntry entry) {
  if (entry.number == 0) {
    entry.number = call.last_number + 1;
  }
  THAW_CHECK(entry.number > call.last_number);
  call.last_number = entry.number;
  const std::size_t bytes = cost(entry);
  call.log_bytes += bytes;
  charge(call, bytes);
  if (entry.kind == LogEntry::Kind::chunk) {
    call.unread_bytes += unread_cost(entry);
  }
  call.log.push_back(std::move(entry));
  while (call.durable() && call.log.size() > 1 &&
         (call.log.size() > durable_log_entries || call.log_bytes > durable_log_bytes)) {
    const std::size_t freed = cost(call.log.front());
    call.log_bytes -= freed;
    refund(call, freed);
    call.log.pop_front();
  }
  call.changed.notify_all();
}

// So many of one input are more than anyone reads.
constexpr std::size_t most_status_per_input = 16;

void Queue::tell(Call& call, const Input* input, model::CallStatus status, const Outcome& outcome) {
  if (call.call.status == model::StatusEntries::no ||
      call.status_entries >= most_status_per_input * std::max<std::size_t>(call.inputs.size(), 1)) {
    return;
  }
  ++call.status_entries;
  LogEntry entry;
  entry.kind = LogEntry::Kind::status;
  entry.at = wall_now();
  entry.status = std::move(status);
  entry.outcome = outcome.kind;
  entry.failure = outcome.failure;
  if (input != nullptr) {
    entry.input = input->id;
    entry.index = input->index;
    entry.attempts = input->attempts;
    entry.container = input->container;
  }
  if (!call.durable()) {
    push_entry(call, std::move(entry));
    return;
  }
  // Numbered by its place on the disk, like all others of its log.
  tasks_.start("status of a call", store_status(*this, alive_, call.call.id, std::move(entry)));
}

async::Task<void> Queue::store_status(Queue& self, Alive alive, CallId id, LogEntry entry) {
  const auto found = *alive ? self.calls_.find(id) : self.calls_.end();
  if (!*alive || found == self.calls_.end()) {
    co_return ok();
  }
  const Pin call(self, alive, *found->second);
  auto shared = std::make_shared<LogEntry>(std::move(entry));
  auto changes = std::make_shared<CallbackChanges>();
  auto work = append_work(id, shared, wakes(*call, *shared), changes);
  const auto number = co_await self.database_.write<std::uint64_t>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  if (number) {
    self.callbacks_.apply(*changes);
    shared->number = *number;
    self.push_entry(*call, std::move(*shared));
  }
  co_return number ? ok() : Result<void>(number.error());
}

void Queue::drop_payload(Call& call, LogEntry& entry) {
  const std::size_t freed = cost(entry) - entry_overhead;
  refund(call, freed);
  call.log_bytes -= freed;
  entry.payload = {};
  entry.failure = nullptr;
}

// Of what the reader has taken, the newest stay. A piece leaves the log; of a final entry only the
// payload does, because its number and outcome are counted later.
void Queue::drop_taken(Call& call) {
  while (call.replay_bytes > limits_.replay_bytes_per_call && call.next_to_drop < call.log.size()) {
    LogEntry& entry = call.log[call.next_to_drop];
    if (entry.number > call.taken) {
      break;
    }
    call.replay_bytes -= cost(entry);
    drop_payload(call, entry);
    if (call.next_to_drop == 0 && entry.kind != LogEntry::Kind::final_) {
      call.log_bytes -= entry_overhead;
      refund(call, entry_overhead);
      call.log.pop_front();
    } else {
      ++call.next_to_drop;
    }
  }
}

void Queue::take(const CallId& id, std::uint64_t up_to) {
  const auto found = calls_.find(id);
  if (found == calls_.end() || found->second->durable()) {
    return;
  }
  Call& call = *found->second;
  const std::uint64_t first = std::max(call.taken + 1, call.first_in_memory());
  const std::uint64_t last = std::min(up_to, call.last_number);
  if (last <= call.taken || call.log.empty()) {
    return;
  }
  for (std::uint64_t number = first; number <= last; ++number) {
    const LogEntry& entry = call.log[static_cast<std::size_t>(number - call.first_in_memory())];
    call.replay_bytes += cost(entry);
    if (entry.kind == LogEntry::Kind::chunk) {
      call.unread_bytes -= unread_cost(entry);
    }
  }
  call.taken = last;
  drop_taken(call);
  call.room.notify_all();
}

bool Queue::has_room(const Call& call, std::size_t bytes) {
  if (call.durable()) {
    return call.unread_bytes + bytes <= limits_.stored_piece_bytes_per_call;
  }
  if (call.unread_bytes + bytes <= std::min(always_admitted, limits_.unread_bytes_per_call / 2)) {
    return true;
  }
  if (call.unread_bytes > 0 && call.unread_bytes + bytes > limits_.unread_bytes_per_call) {
    return false;
  }
  Share asked;
  asked.bytes = bytes;
  return make_room(*call.workspace, *call.function, asked);
}

async::Task<void> Queue::wait_for_room(InputId id, ContainerId container, std::size_t bytes,
                                       Instant deadline) {
  const Alive alive = alive_;
  while (true) {
    const auto found = inputs_.find(id);
    Share asked;
    asked.bytes = bytes;
    if (found == inputs_.end() || found->second->container != container ||
        bytes <= always_admitted || found->second->call->durable() ||
        make_room(*found->second->call->workspace, *found->second->call->function, asked)) {
      co_return ok();
    }
    THAW_CO_TRY(const bool notified, co_await room_.wait(deadline));
    if (!*alive) {
      co_return closed();
    }
    if (!notified) {
      co_return Error::resource_exhausted(
          "the results of this function that nobody has taken are more than the server keeps for "
          "one function or workspace");
    }
  }
}

Result<Input*> Queue::running(Call& call, const LogEntry& entry) const {
  Input* input = nullptr;
  if (!entry.input.empty()) {
    const auto known = inputs_.find(entry.input);
    input = known == inputs_.end() || known->second->call != &call ? nullptr : known->second;
  } else if (call.inputs.size() == 1) {
    input = call.inputs.begin()->second.get();
  }
  const bool runs = input != nullptr && (input->state == State::leased ||
                                         (input->state == State::ending && !input->orphaned));
  if (!runs || (!entry.container.empty() && entry.container != input->container)) {
    return Error::failed_precondition("the input is not running there any more");
  }
  return input;
}

async::Task<std::uint64_t> Queue::append(CallId id, LogEntry entry) {
  const Alive alive = alive_;
  if (entry.kind != LogEntry::Kind::chunk) {
    co_return Error::invalid_argument("only pieces of output are appended");
  }
  const auto found = calls_.find(id);
  if (found == calls_.end() || found->second->unfinished == 0) {
    co_return Error::failed_precondition("the call " + id.str() + " has ended");
  }
  Call& call = *found->second;
  const Pin pin(*this, alive, call);
  entry.failure = nullptr;
  const std::size_t bytes = unread_cost(entry);
  if (bytes > limits_.largest_piece_bytes) {
    co_return Error::invalid_argument(
        "a piece of " + std::to_string(entry.payload.length()) + " bytes is too large (at most " +
        std::to_string(limits_.largest_piece_bytes) + "); send it as a blob");
  }
  THAW_CO_TRY(Input * input, running(call, entry));
  if (call.durable() && !call.cancelled) {
    // Nobody takes them off the disk, so there is nothing to wait for.
    if (!has_room(call, bytes)) {
      co_return Error::resource_exhausted("the pieces of the call " + id.str() +
                                          " that are kept on disk are " +
                                          std::to_string(call.unread_bytes) + " bytes (at most " +
                                          std::to_string(limits_.stored_piece_bytes_per_call) +
                                          "); call it synchronously to take them as they come");
    }
    THAW_CO_TRY_VOID(check_disk(call.call, bytes));
  }
  while (!call.cancelled && !has_room(call, bytes)) {
    if (call.waiting_pieces >= most_waiting_pieces) {
      co_return Error::resource_exhausted(std::to_string(call.waiting_pieces) +
                                          " pieces of the call " + id.str() +
                                          " wait for its reader already; send one at a time");
    }
    // The call's own reader, or others of its function or workspace.
    const bool own =
        call.unread_bytes > 0 && call.unread_bytes + bytes > limits_.unread_bytes_per_call;
    async::Event& room = own ? call.room : room_;
    ++call.waiting_pieces;
    const Result<bool> woken = co_await room.wait(monotonic_now() + 1s);
    if (!*alive) {
      co_return closed();
    }
    --call.waiting_pieces;
    if (!woken) {
      co_return woken.error();
    }
    if (call.unfinished == 0) {
      co_return Error::failed_precondition("the call " + id.str() + " has ended");
    }
    THAW_CO_TRY(input, running(call, entry));
  }
  if (call.cancelled) {
    co_return 0;
  }
  entry.number = 0;
  entry.at = wall_now();
  entry.input = input->id;
  entry.index = input->index;
  entry.attempts = input->attempts;
  if (!call.durable()) {
    push_entry(call, std::move(entry));
    co_return call.last_number;
  }
  const InputId by = input->id;
  call.unread_bytes += bytes;  // while it is on its way: others may come meanwhile
  Result<std::uint64_t> number = co_await append_durable(*this, call, by, std::move(entry));
  if (!*alive) {
    co_return closed();
  }
  call.unread_bytes -= bytes;
  co_return number;
}

// Counts what it has written.
async::Task<std::uint64_t> Queue::append_durable(Queue& self, Call& call, InputId by,
                                                 LogEntry entry) {
  const Alive alive = self.alive_;
  Input& input = *self.inputs_.at(by);
  std::optional<Turn> turn;
  if (self.payloads_.is_large(entry.payload) || input.turns) {
    turn.emplace(alive, input);
    THAW_CO_TRY_VOID(co_await Turn::wait(*turn));
    if (!*alive) {
      co_return closed();
    }
    const model::WorkspaceId owner = call.call.workspace;
    THAW_CO_TRY(entry.payload, co_await self.payloads_.keep(owner, std::move(entry.payload)));
    if (!*alive) {
      co_return closed();
    }
    if (call.cancelled) {
      co_return 0;
    }
    THAW_CO_TRY(const Input* still, self.running(call, entry));
    if (still->attempts != entry.attempts) {
      co_return Error::failed_precondition("the input was delivered again meanwhile");
    }
    turn->end();
  }
  self.payloads_.is_about_to_be_kept(call.call.workspace, entry.payload);
  auto shared = std::make_shared<LogEntry>(std::move(entry));
  auto changes = std::make_shared<CallbackChanges>();
  auto work = append_work(call.call.id, shared, wakes(call, *shared), changes);
  const auto number = co_await self.database_.write<std::uint64_t>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  if (!number) {
    co_return number.error();
  }
  self.count_disk(call, cost(*shared));
  self.callbacks_.apply(*changes);
  shared->number = *number;
  self.push_entry(call, std::move(*shared));
  co_return *number;
}

Queue::Turn::Turn(Alive alive, Input& input) : alive_(std::move(alive)), input_(&input) {
  if (!input.turns) {
    input.turns = std::make_unique<Turns>();
  }
  place_ = input.turns->order.insert(input.turns->order.end(), 0);
}

void Queue::Turn::end() {
  if (input_ == nullptr || !*alive_) {
    return;
  }
  Turns& turns = *input_->turns;
  turns.order.erase(place_);
  if (turns.order.empty()) {
    input_->turns.reset();
  } else {
    turns.changed.notify_all();
  }
  input_ = nullptr;
}

async::Task<void> Queue::Turn::wait(Turn& self) {
  const Alive alive = self.alive_;
  while (*alive && self.place_ != self.input_->turns->order.begin()) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await self.input_->turns->changed.wait(Instant::max()));
  }
  co_return *alive ? ok() : Result<void>(closed());
}

async::Task<std::vector<LogEntry>> Queue::read(CallId id, std::uint64_t after, std::size_t max,
                                               Instant deadline,
                                               std::function<bool(const LogEntry&)> wanted,
                                               WhenIdle when_idle) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  max = std::max<std::size_t>(max, 1);
  std::vector<LogEntry> found;
  std::uint64_t seen = after;
  while (true) {
    while (call->durable() && seen + 1 < call->first_in_memory() && found.size() < max) {
      const std::size_t limit = wanted ? entries_per_page : std::min(entries_per_page, max);
      std::function<Result<std::vector<LogEntry>>(store::Transaction&)> load =
          [id, seen, limit](store::Transaction& transaction) {
            return read_log(transaction, id, seen, limit);
          };
      THAW_CO_TRY(std::vector<LogEntry> page,
                  co_await database_.read<std::vector<LogEntry>>(std::move(load)));
      if (!*alive) {
        co_return closed();
      }
      if (page.empty()) {
        // Expired meanwhile, or `after` is past the end.
        break;
      }
      for (LogEntry& entry : page) {
        seen = entry.number;
        if (found.size() < max && (!wanted || wanted(entry))) {
          found.push_back(std::move(entry));
        }
        if (found.size() == max) {
          break;
        }
      }
    }
    const std::uint64_t first = call->first_in_memory();
    const std::size_t skip = seen + 1 > first ? static_cast<std::size_t>(seen + 1 - first) : 0;
    for (std::size_t i = skip; i < call->log.size() && found.size() < max; ++i) {
      const LogEntry& entry = call->log[i];
      seen = std::max(seen, entry.number);
      if (!wanted || wanted(entry)) {
        found.push_back(entry);
      }
    }
    if (!found.empty() || (call->unfinished == 0 && when_idle == WhenIdle::returns)) {
      co_return found;
    }
    THAW_CO_TRY(const bool notified, co_await call->changed.wait(deadline));
    if (!*alive) {
      co_return closed();
    }
    if (!notified) {
      co_return found;
    }
  }
}

}  // namespace thaw::queue::detail
