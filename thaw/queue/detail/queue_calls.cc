// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/queue/detail/queue.h"

namespace thaw::queue::detail {

using State = Input::State;

namespace {

constexpr Duration durable_idle_in_memory = 30s;
constexpr int expired_per_write = 200;
// Results that nobody came for are kept at least so long when room is short.
constexpr Duration shortest_keep = 5s;
constexpr std::size_t looked_at_for_room = 256;

// The moment of this run of the server that is that moment of the wall's.
Instant on_our_clock(WallTime when) {
  constexpr auto far = std::chrono::hours(24 * 365 * 50);
  const auto left = std::clamp<std::chrono::microseconds>(when - wall_now(), -far, far);
  return left == far ? Instant::max() : monotonic_now() + left;
}

}  // namespace

Queue::~Queue() {
  *alive_ = false;
  for (auto& [id, call] : calls_) {
    call->changed.notify_all();
    call->room.notify_all();
    for (const auto& [index, input] : call->inputs) {
      if (input->turns) {
        input->turns->changed.notify_all();
      }
    }
  }
}

Function& Queue::function_of(const FunctionId& id) {
  std::unique_ptr<Function>& slot = functions_[id];
  if (!slot) {
    slot = std::make_unique<Function>();
    slot->id = id;
  }
  return *slot;
}

Line& Queue::line_of(const Target& target) {
  std::unique_ptr<Line>& slot = lines_[target];
  if (!slot) {
    slot = std::make_unique<Line>();
    slot->target = target;
    slot->function = &function_of(target.function);
    slot->function->lines.emplace(target.version, slot.get());
  }
  return *slot;
}

Call& Queue::make_call(model::NewCall call, WallTime created_at) {
  auto made = std::make_unique<Call>();
  made->line = &line_of(call.target());
  made->function = made->line->function;
  made->workspace = &workspace_of(call.workspace);
  if (made->function->workspace == nullptr && !made->function->is_shared) {
    made->function->workspace = made->workspace;
  } else if (made->function->workspace != made->workspace) {
    made->function->workspace = nullptr;
    made->function->is_shared = true;
  }
  made->created_at = created_at;
  made->call = std::move(call);
  if (const auto& until = made->call.limits.end_by) {
    made->end_by = on_our_clock(*until);
    made->expires = made->end_by;
  }
  if (const auto& until = made->call.limits.queue_until) {
    made->expires = std::min(made->expires, on_our_clock(*until));
  }
  charge(*made, made->call.options.size() + entry_overhead);
  for (Share* share : {&all_, &made->workspace->share, &made->function->share}) {
    ++share->calls;
  }
  ++made->line->calls;
  Call& result = *made;
  CallsByAge& all = made->function->calls;
  made->by_age = all.emplace_hint(all.end(), made.get());
  if (result.expires != Instant::max()) {
    watch_expiry(result, result.expires);
  }
  calls_.emplace(result.call.id, std::move(made));
  return result;
}

void Queue::erase(Call& call) {
  leave_idle(call);
  if (call.is_watched) {
    expiries_.erase(call.expiry);
  }
  for (const auto& [index, input] : call.inputs) {
    inputs_.erase(input->id);
    refund(call, cost(input->payload));
  }
  refund(call, call.log_bytes);
  refund(call, call.call.options.size() + entry_overhead);
  for (Share* share : {&all_, &call.workspace->share, &call.function->share}) {
    --share->calls;
  }
  --call.line->calls;
  call.function->calls.erase(call.by_age);
  calls_.erase(calls_.find(call.call.id));
}

void Queue::count_unfinished(Call& call, int more) {
  call.unfinished += more;
  call.line->unfinished += static_cast<std::size_t>(more);  // modulo, as below
  for (Share* share : {&all_, &call.workspace->share, &call.function->share}) {
    share->unfinished += static_cast<std::size_t>(more);  // modulo: `more` may be negative
  }
}

Result<void> Queue::check_disk(const model::NewCall& call, std::size_t bytes) const {
  const bool counts = disk_ != nullptr && call.durability == model::Durability::durable;
  return counts ? disk_->check(call.workspace.str(), bytes) : ok();
}

void Queue::count_disk(const Call& call, std::size_t more, std::size_t less) {
  if (disk_ != nullptr && call.durable()) {
    disk_->add(call.call.workspace.str(), store::DiskShares::Kind::calls, more);
    disk_->subtract(call.call.workspace.str(), store::DiskShares::Kind::calls, less);
  }
}

void Queue::count_callbacks(const model::NewCall& call,
                            const std::vector<model::Callback>& callbacks, int more) {
  for (const model::Callback& one : callbacks) {
    callbacks_.count({call.workspace, one.receiver}, more);
  }
}

void Queue::leave_idle(Call& call) {
  if (call.idle) {
    call.idle = false;
    (call.durable() ? idle_durable_ : idle_memory_).erase(call.idle_place);
  }
}

void Queue::enter_idle_if_unused(Call& call) {
  if (call.unfinished > 0 || call.pins > 0) {
    return;
  }
  if (call.forgotten) {
    erase(call);
    return;
  }
  leave_idle(call);
  std::list<Call*>& idle = call.durable() ? idle_durable_ : idle_memory_;
  call.idle = true;
  call.idle_since = monotonic_now();
  call.idle_place = idle.insert(idle.end(), &call);
}

void Queue::unpin(Call& call) {
  --call.pins;
  enter_idle_if_unused(call);
}

// From memory, else from disk.
async::Task<Queue::Pin> Queue::find(Queue& self, CallId id) {
  const Alive alive = self.alive_;
  if (const auto found = self.calls_.find(id); found != self.calls_.end()) {
    co_return Pin(self, alive, *found->second);
  }
  std::function<Result<std::optional<StoredCall>>(store::Transaction&)> load =
      [id](store::Transaction& transaction) { return load_call(transaction, id); };
  THAW_CO_TRY(std::optional<StoredCall> stored,
              co_await self.database_.read<std::optional<StoredCall>>(std::move(load)));
  if (!*alive) {
    co_return closed();
  }
  // Another task may have been faster.
  if (const auto found = self.calls_.find(id); found != self.calls_.end()) {
    co_return Pin(self, alive, *found->second);
  }
  if (!stored) {
    co_return Error::not_found("there is no call " + id.str() + ", or its results have expired");
  }
  std::vector<Unfinished> unfinished;
  Call& call = self.adopt(std::move(*stored), unfinished);
  Pin pin(self, alive, call);
  if (!unfinished.empty()) {
    // It was stored as finished: what says otherwise is damaged.
    std::vector<Input*> damaged;
    for (const Unfinished& one : unfinished) {
      log_error("a stored input is damaged", {{"input", one.input->id.str()}});
      damaged.push_back(one.input);
    }
    Outcome lost{OutcomeKind::internal_failure, {}};
    self.tasks_.start("end what may not run",
                      end_what_may_not_run(self, alive, {{std::move(damaged), std::move(lost)}}));
  }
  co_return std::move(pin);
}

// A finished call that comes back from disk, or an unfinished one at the start; its unfinished
// inputs are `storing` until somebody makes them ready.
Call& Queue::adopt(StoredCall stored, std::vector<Unfinished>& unfinished) {
  Call& call = make_call(std::move(stored.call), stored.created_at);
  call.is_stored = true;
  call.cancelled = stored.cancelled;
  call.started_at = stored.started_at;
  call.finished_at = stored.finished_at;
  call.last_number = stored.last_number;
  call.unread_bytes = stored.piece_bytes;
  call.status_entries = stored.status_entries;
  call.callback_wants = stored.callback_wants;
  for (StoredInput& from : stored.inputs) {
    if (from.unreadable.empty() &&
        (inputs_.contains(from.id) || call.inputs.contains(from.index))) {
      from.unreadable = "another one has its id or its index";
    }
    if (!from.unreadable.empty()) {
      store::set_aside_later(database_, unreadable_input(from, call.call.id));
      continue;
    }
    auto input = std::make_unique<Input>();
    input->id = std::move(from.id);
    input->call = &call;
    input->index = from.index;
    input->payload = from.damaged ? model::Payload() : std::move(from.payload);
    input->state = from.ended ? State::ended : State::storing;
    input->attempts = from.attempts;
    input->retries = from.retries;
    // Who sets a number of deliveries means all of them.
    input->forgiven = call.call.limits.redeliveries ? 0 : from.attempts - from.retries;
    input->enqueued_at = from.enqueued_at;
    count_unfinished(call, from.ended ? 0 : 1);
    charge(call, cost(input->payload));
    if (!from.ended) {
      unfinished.push_back({from.order, input.get(), from.damaged});
    }
    inputs_.emplace(input->id, input.get());
    call.inputs.emplace(from.index, std::move(input));
  }
  return call;
}

Result<void> Queue::load() {
  THAW_TRY_VOID(callbacks_.load());
  std::vector<StoredCall> calls;
  THAW_TRY_VOID(database_.read_now([&calls](store::Transaction& transaction) -> Result<void> {
    THAW_TRY(calls, load_unfinished(transaction));
    return ok();
  }));
  std::vector<std::pair<std::int64_t, Input*>> runnable;
  Doomed cancelled{{}, {OutcomeKind::terminated, {}}};
  Doomed damaged{{}, {OutcomeKind::internal_failure, {}}};
  Doomed lost{
      {},
      model::failed(OutcomeKind::internal_failure,
                    {.type = model::failure_type::container_ended,
                     .message = "the server ended while a container had this input, and the "
                                "call is not to be delivered again"})};
  for (StoredCall& stored : calls) {
    if (stored.call.id.empty() || calls_.contains(stored.call.id)) {
      store::set_aside_later(database_, unreadable_call(stored, "it has no id of its own"));
      continue;
    }
    std::vector<Unfinished> unfinished;
    Call& call = adopt(std::move(stored), unfinished);
    for (const Unfinished& one : unfinished) {
      if (call.cancelled) {
        cancelled.inputs.push_back(one.input);
      } else if (one.damaged) {
        damaged.inputs.push_back(one.input);
      } else if (one.input->attempts - one.input->retries - one.input->forgiven >
                 redeliveries_of(call)) {
        lost.inputs.push_back(one.input);
      } else {
        runnable.emplace_back(one.order, one.input);
      }
    }
    enter_idle_if_unused(call);
  }
  std::sort(runnable.begin(), runnable.end());
  for (const auto& [order, input] : runnable) {
    make_ready(*input, Place::back);
  }
  for (const Input* input : damaged.inputs) {
    log_error("a stored input is damaged", {{"input", input->id.str()}});
  }
  std::vector<Doomed> doomed;
  for (Doomed* some : {&cancelled, &damaged, &lost}) {
    if (!some->inputs.empty()) {
      doomed.push_back(std::move(*some));
    }
  }
  if (!doomed.empty()) {
    tasks_.start("end what may not run", end_what_may_not_run(*this, alive_, std::move(doomed)));
  }
  database_.write_later(
      [](store::Transaction& transaction) { return repair(transaction, wall_now()); });
  return ok();
}

async::Task<void> Queue::end_what_may_not_run(Queue& self, Alive alive,
                                              std::vector<Doomed> doomed) {
  if (!*alive) {
    co_return closed();
  }
  for (const Doomed& some : doomed) {
    for (Input* input : some.inputs) {
      self.hold(*input);
    }
  }
  Result<void> result;
  for (Doomed& some : doomed) {
    Result<void> ended = co_await end_all(self, std::move(some.inputs), std::move(some.outcome));
    if (!*alive) {
      co_return closed();
    }
    if (!ended) {
      result = std::move(ended);
    }
  }
  co_return result;
}

async::Task<CallInfo> Queue::info(CallId id) {
  THAW_CO_TRY(const Pin call, co_await find(*this, std::move(id)));
  CallInfo info;
  info.call = call->call;
  info.inputs = static_cast<int>(call->inputs.size());
  info.unfinished = call->unfinished;
  info.cancelled = call->cancelled;
  info.created_at = call->created_at;
  if (call->started_at != WallTime{}) {
    info.started_at = call->started_at;
  }
  if (call->unfinished == 0 && call->finished_at != WallTime{}) {
    info.finished_at = call->finished_at;
  }
  co_return info;
}

async::Task<std::vector<InputView>> Queue::inputs(CallId id, int first, std::size_t most) {
  THAW_CO_TRY(const Pin call, co_await find(*this, std::move(id)));
  std::vector<const Input*> wanted;
  if (call->inputs.size() <= 4 * most + 1'000) {
    for (const auto& [index, input] : call->inputs) {
      if (index >= first) {
        wanted.push_back(input.get());
      }
    }
  } else {  // whose callers number them without gaps
    for (std::size_t i = 0; i < 4 * most && wanted.size() < most; ++i) {
      const auto input = call->inputs.find(first + static_cast<int>(i));
      if (input != call->inputs.end()) {
        wanted.push_back(input->second.get());
      }
    }
  }
  const std::size_t count = std::min(most, wanted.size());
  std::partial_sort(wanted.begin(), wanted.begin() + static_cast<std::ptrdiff_t>(count),
                    wanted.end(),
                    [](const Input* a, const Input* b) { return a->index < b->index; });
  std::vector<InputView> views;
  views.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    const Input& input = *wanted[i];
    InputView& view = views.emplace_back();
    view.id = input.id;
    view.index = input.index;
    view.attempts = input.attempts;
    view.enqueued_at = input.enqueued_at;
    if (input.state == State::ended) {
      view.state = InputView::State::ended;
    } else if (input.state == State::leased || input.state == State::ending) {
      view.state = InputView::State::running;
      view.container = input.container;
    }
  }
  co_return views;
}

void Queue::forget(const CallId& id) {
  const auto found = calls_.find(id);
  if (found == calls_.end()) {
    return;
  }
  const bool ended = found->second->unfinished == 0;
  if (!ended && (found->second->durable() || !found->second->cancelled)) {
    return;
  }
  if (!ended || found->second->pins > 0) {
    found->second->forgotten = true;
    take(id, found->second->last_number);
  } else {
    erase(*found->second);
  }
}

void Queue::forget_all(const FunctionId& id) {
  const auto function = functions_.find(id);
  if (function == functions_.end() || function->second->share.calls == 0) {
    return;
  }
  std::vector<CallId> ended;
  for (const Call* call : idle_memory_) {
    if (call->function == function->second.get()) {
      ended.push_back(call->call.id);
    }
  }
  for (const CallId& call : ended) {
    forget(call);
  }
}

void Queue::forbid_repeats(const CallId& id) {
  if (const auto found = calls_.find(id); found != calls_.end()) {
    found->second->repeats = false;
  }
}

// --- creating -----

// When a share is full, results of synchronous calls that nobody came for go first.
bool Queue::make_room(const Workspace& workspace, const Function& function, const Share& asked) {
  const auto fits = [&] {
    return detail::admit(limits_, all_, workspace.share, function.share, asked, "").has_value();
  };
  const Instant old = monotonic_now() - shortest_keep;
  auto next = idle_memory_.begin();
  for (std::size_t n = 0; n < looked_at_for_room && !fits(); ++n) {
    if (next == idle_memory_.end() || (*next)->idle_since > old) {
      return false;
    }
    Call& call = **next++;
    if (call.workspace == &workspace || call.workspace->share.bytes > limits_.small_share_bytes) {
      erase(call);
    }
  }
  return fits();
}

Result<void> Queue::admit(const Workspace& workspace, Function& function,
                          const std::vector<model::NewInput>& inputs, std::size_t calls) {
  Share asked;
  asked.calls = calls;
  asked.unfinished = inputs.size();
  for (const model::NewInput& input : inputs) {
    if (input.index < 0) {
      return Error::invalid_argument("an input's index is negative");
    }
  }
  asked.bytes = cost_of(inputs);
  if (function.ready + function.storing + inputs.size() > limits_.ready_per_function) {
    return Error::resource_exhausted(
        "the function " + function.id.str() + " has too many waiting inputs (at most " +
        std::to_string(limits_.ready_per_function) + "); try again later");
  }
  if (make_room(workspace, function, asked)) {
    return ok();
  }
  return detail::admit(limits_, all_, workspace.share, function.share, asked, function.id.str());
}

Queue::Added Queue::add(Call& call, std::vector<model::NewInput> inputs) {
  Added added;
  const WallTime now = wall_now();
  for (model::NewInput& given : inputs) {
    std::unique_ptr<Input>& slot = call.inputs[given.index];
    if (slot) {
      if (slot->state == State::storing) {
        added.unstored.push_back(slot.get());
      }
      added.ids.push_back(slot->id);
      continue;
    }
    slot = std::make_unique<Input>();
    slot->id = InputId(codec::random_id("in"));
    slot->call = &call;
    slot->index = given.index;
    slot->payload = std::move(given.payload);
    slot->enqueued_at = now;
    charge(call, cost(slot->payload));
    inputs_.emplace(slot->id, slot.get());
    count_unfinished(call, 1);
    added.ids.push_back(slot->id);
    added.fresh.push_back(slot.get());
  }
  return added;
}

void Queue::drop_unstored(Call& call, const std::vector<Input*>& inputs) {
  for (Input* input : inputs) {
    inputs_.erase(input->id);
    refund(call, cost(input->payload));
    count_unfinished(call, -1);
    call.inputs.erase(input->index);
  }
  call.changed.notify_all();
}

std::vector<StoredInput> Queue::to_store(const std::vector<Input*>& inputs) {
  std::vector<StoredInput> stored;
  stored.reserve(inputs.size());
  for (const Input* input : inputs) {
    StoredInput one;
    one.id = input->id;
    one.index = input->index;
    one.payload = input->payload;
    one.enqueued_at = input->enqueued_at;
    stored.push_back(std::move(one));
  }
  return stored;
}

// Not counted yet to anybody but as blobs: whoever is refused after this has sent them for nothing,
// and they are swept.
async::Task<void> Queue::keep_large(Queue& self, model::WorkspaceId workspace,
                                    std::vector<model::NewInput>& inputs) {
  const Alive alive = self.alive_;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!self.payloads_.is_large(inputs[i].payload)) {
      continue;
    }
    THAW_CO_TRY(inputs[i].payload,
                co_await self.payloads_.keep(workspace, std::move(inputs[i].payload)));
    if (!*alive) {
      co_return closed();
    }
  }
  co_return ok();
}

async::Task<std::vector<InputId>> Queue::make(Queue& self, model::NewCall call,
                                              std::vector<model::NewInput> inputs,
                                              std::shared_ptr<const StoredKey> key) {
  const Alive alive = self.alive_;
  if (self.calls_.contains(call.id)) {
    co_return Error::already_exists("there is a call " + call.id.str());
  }
  if (call.durability == model::Durability::durable) {
    THAW_CO_TRY_VOID(co_await keep_large(self, call.workspace, inputs));
    if (self.calls_.contains(call.id)) {
      co_return Error::already_exists("there is a call " + call.id.str());
    }
  }
  Function& function = self.function_of(call.function);
  THAW_CO_TRY_VOID(self.admit(self.workspace_of(call.workspace), function, inputs, 1));
  THAW_CO_TRY_VOID(self.callbacks_.admit(call));
  auto callbacks = std::make_shared<const std::vector<model::Callback>>(std::move(call.callbacks));
  call.callbacks.clear();
  std::size_t bytes = call.options.size() + (key ? 2 : 1) * entry_overhead + cost_of(inputs);
  for (const model::Callback& one : *callbacks) {
    bytes += one.sink.size() + one.options.size() + entry_overhead;
    call.status = one.wants.started ? model::StatusEntries::yes : call.status;
  }
  THAW_CO_TRY_VOID(self.check_disk(call, bytes));
  Call& made = self.make_call(std::move(call), wall_now());
  const Pin pin(self, alive, made);
  for (const model::NewInput& input : inputs) {
    self.payloads_.is_about_to_be_kept(made.call.workspace, input.payload);
  }
  Added added = self.add(made, std::move(inputs));
  for (const model::Callback& one : *callbacks) {
    made.callback_wants |= number_of(one.wants) | wants_final;
  }
  self.count_callbacks(made.call, *callbacks, 1);
  if (made.durable()) {
    function.storing += added.fresh.size();
    auto rows = std::make_shared<const std::vector<StoredInput>>(to_store(added.fresh));
    std::function<Result<void>(store::Transaction&)> work =
        [rows, key, callbacks, head = made.call,
         at = made.created_at](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(insert_call(transaction, head, at));
      THAW_TRY_VOID(insert_callbacks(transaction, head, *callbacks, rows->empty() ? &at : nullptr));
      if (key) {
        THAW_TRY_VOID(insert_key(transaction, *key));
      }
      return insert_inputs(transaction, head.id, *rows);
    };
    Result<void> stored = co_await self.database_.write<void>(std::move(work));
    if (!*alive) {
      co_return closed();
    }
    function.storing -= added.fresh.size();
    if (!stored) {
      self.drop_unstored(made, added.fresh);
      self.count_callbacks(made.call, *callbacks, -1);
      made.forgotten = true;
      if (stored.error().code() == Code::already_exists) {
        co_return Error::already_exists("there is a call " + made.call.id.str());
      }
      co_return std::move(stored).error();
    }
    made.is_stored = true;
    self.count_disk(made, bytes);
  }
  THAW_CO_TRY_VOID(co_await publish(self, made, std::move(added.fresh)));
  co_return std::move(added.ids);
}

// New inputs, on disk if they have to be, become ready.
async::Task<void> Queue::publish(Queue& self, Call& call, std::vector<Input*> fresh) {
  if (call.cancelled || call.has_expired()) {
    // While they were stored. Nobody has seen them: they end like the others.
    for (Input* input : fresh) {
      self.hold(*input);
    }
    Outcome outcome{call.cancelled ? OutcomeKind::terminated : OutcomeKind::expired, {}};
    co_return co_await end_all(self, std::move(fresh), std::move(outcome));
  }
  for (Input* input : fresh) {
    self.make_ready(*input, Place::back);
  }
  if (!fresh.empty()) {
    call.line->became_ready.notify_all();
  }
  co_return ok();
}

async::Task<std::vector<InputId>> Queue::add_inputs(CallId id,
                                                    std::vector<model::NewInput> inputs) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  Function& function = *call->function;
  // Who asks again is answered as before, whatever has become of the call, and takes no room.
  const bool is_repeat = std::all_of(inputs.begin(), inputs.end(), [&](const auto& input) {
    return call->inputs.contains(input.index);
  });
  if (!is_repeat) {
    if (call->cancelled) {
      co_return Error::failed_precondition("the call " + id.str() + " was cancelled");
    }
    if (call->durable()) {
      THAW_CO_TRY_VOID(co_await keep_large(*this, call->call.workspace, inputs));
    }
    THAW_CO_TRY_VOID(admit(*call->workspace, function, inputs, 0));
    THAW_CO_TRY_VOID(check_disk(call->call, cost_of(inputs)));
  }
  const std::size_t bytes = cost_of(inputs);
  for (const model::NewInput& input : inputs) {
    payloads_.is_about_to_be_kept(call->call.workspace, input.payload);
  }
  Added added = add(*call, std::move(inputs));
  if (call->durable() && !added.fresh.empty()) {
    function.storing += added.fresh.size();
    auto rows = std::make_shared<const std::vector<StoredInput>>(to_store(added.fresh));
    std::function<Result<void>(store::Transaction&)> work =
        [rows, id,
         goes_on = call->callback_wants != 0](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(insert_inputs(transaction, id, *rows));
      return goes_on ? reopen_callbacks(transaction, id) : ok();
    };
    Result<void> stored = co_await database_.write<void>(std::move(work));
    if (!*alive) {
      co_return closed();
    }
    function.storing -= added.fresh.size();
    if (!stored) {
      drop_unstored(*call, added.fresh);
      co_return std::move(stored).error();
    }
    count_disk(*call, bytes);
  }
  if (call->durable() && !added.unstored.empty()) {
    // Writes end in order: once this one has, so has that of whoever sent the index first.
    std::function<Result<void>(store::Transaction&)> nothing = [](store::Transaction&) {
      return ok();
    };
    THAW_CO_TRY_VOID(co_await database_.write<void>(std::move(nothing)));
    if (!*alive) {
      co_return closed();
    }
    for (const InputId& one : added.ids) {
      if (!inputs_.contains(one)) {
        co_return Error::unavailable("an input could not be stored; send it again");
      }
    }
  }
  THAW_CO_TRY_VOID(co_await publish(*this, *call, std::move(added.fresh)));
  co_return std::move(added.ids);
}

// What is read again and again stays in memory, and would be there when its record no longer is.
void Queue::forget_idle(const std::vector<CallId>& calls) {
  for (const CallId& id : calls) {
    const auto found = calls_.find(id);
    if (found != calls_.end() && found->second->idle) {
      erase(*found->second);
    }
  }
}

async::Task<void> Queue::sweep() {
  const Alive alive = alive_;
  const Instant now = monotonic_now();
  while (!idle_memory_.empty() &&
         idle_memory_.front()->idle_since + limits_.keep_memory_results <= now) {
    erase(*idle_memory_.front());
  }
  while (!idle_durable_.empty() &&
         idle_durable_.front()->idle_since + durable_idle_in_memory <= now) {
    erase(*idle_durable_.front());
  }
  forget_old_keys();
  std::erase_if(lines_, [](const auto& entry) {
    Line& line = *entry.second;
    return line.unused() && line.function->lines.erase(line.target.version) > 0;
  });
  std::erase_if(functions_, [](const auto& entry) { return entry.second->unused(); });
  const WallTime before =
      wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(limits_.keep_results);
  while (true) {
    std::function<Result<std::vector<CallId>>(store::Transaction&)> work =
        [now = wall_now()](store::Transaction& transaction) {
          return detail::drop_payloads(transaction, now, expired_per_write);
        };
    THAW_CO_TRY(const std::vector<CallId> bare,
                co_await database_.write<std::vector<CallId>>(std::move(work)));
    if (!*alive) {
      co_return ok();
    }
    forget_idle(bare);
    if (bare.size() < expired_per_write) {
      break;
    }
  }
  // What hinders this must not let the rest pile up.
  const Result<void> swept = co_await callbacks_.sweep();
  if (!*alive) {
    co_return ok();
  }
  while (true) {
    auto changes = std::make_shared<CallbackChanges>();
    std::function<Result<std::vector<CallId>>(store::Transaction&)> work =
        [before, changes, now = wall_now()](store::Transaction& transaction) {
          return detail::delete_finished(transaction, before, now, expired_per_write, *changes);
        };
    THAW_CO_TRY(const std::vector<CallId> deleted,
                co_await database_.write<std::vector<CallId>>(std::move(work)));
    if (!*alive) {
      co_return ok();
    }
    callbacks_.apply(*changes);
    forget_idle(deleted);
    if (deleted.size() < expired_per_write) {
      break;
    }
  }
  while (true) {
    std::function<Result<std::int64_t>(store::Transaction&)> work =
        [now = wall_now()](store::Transaction& transaction) {
          return delete_keys(transaction, now, expired_per_write);
        };
    THAW_CO_TRY(const std::int64_t deleted,
                co_await database_.write<std::int64_t>(std::move(work)));
    if (!*alive || deleted < expired_per_write) {
      co_return swept;
    }
  }
}

}  // namespace thaw::queue::detail
