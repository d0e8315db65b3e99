// SPDX-License-Identifier: Apache-2.0
#include "thaw/queue/call_queue.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/queue/detail/journal.h"
#include "thaw/queue/detail/state.h"
#include "thaw/queue/detail/verdict.h"

namespace thaw::queue {

using detail::Call;
using detail::Function;
using detail::Input;
using detail::StoredCall;
using detail::StoredEnding;
using detail::StoredInput;
using detail::Verdict;
using model::CallId;
using model::ContainerId;
using model::FunctionId;
using model::InputId;
using model::LogEntry;
using model::Outcome;
using model::OutcomeKind;
using State = detail::Input::State;

namespace {

constexpr std::size_t most_calls = 1'000'000;
constexpr std::size_t entry_overhead =
    256;  // what an input or a log entry costs beside its payload
constexpr std::size_t durable_log_entries = 64;  // kept in memory; the rest is read from disk
constexpr std::size_t durable_log_bytes = 1u << 20;
constexpr std::size_t entries_per_page = 64;  // read from disk at a time
constexpr std::size_t endings_per_write = 1'000;
constexpr Duration durable_idle_in_memory = 30s;
constexpr int expired_per_write = 200;

// The queue may go away while tasks wait in it: a task that wakes up asks here first. Background
// tasks take it as a parameter, because they may begin only after that.
using Alive = std::shared_ptr<bool>;

Error closed() { return Error::cancelled("the queue is closed"); }

class Queue final : public CallQueue {
 public:
  Queue(async::Loop& loop, store::Database& database, QueueLimits limits)
      : loop_(loop), database_(database), limits_(limits), tasks_(loop) {}
  ~Queue() override;
  Result<void> load();

  async::Task<std::vector<InputId>> create(model::NewCall call,
                                           std::vector<model::NewInput> inputs) override;
  async::Task<std::vector<InputId>> add_inputs(CallId id,
                                               std::vector<model::NewInput> inputs) override;
  async::Task<std::vector<LogEntry>> read(CallId id, std::uint64_t after, std::size_t max,
                                          Instant deadline,
                                          std::function<bool(const LogEntry&)> wanted,
                                          WhenIdle when_idle) override;
  async::Task<CallInfo> info(CallId id) override;
  void forget(const CallId& id) override;
  async::Task<std::vector<InputId>> cancel(CallId id) override;

  std::vector<LeasedInput> lease(const FunctionId& function, const ContainerId& container,
                                 std::size_t max) override;
  async::Event& ready(const FunctionId& function) override {
    return function_of(function).became_ready;
  }
  async::Task<void> complete(InputId id, ContainerId container, Outcome outcome) override;
  async::Task<std::uint64_t> append(CallId id, LogEntry entry) override;
  async::Task<void> release(ContainerId container, Outcome verdict) override;
  async::Task<void> fail_all(FunctionId function, Outcome verdict) override;

  Demand demand(const FunctionId& function) const override;
  void on_demand(std::function<void(const FunctionId&)> notify) override {
    notify_ = std::move(notify);
  }
  std::optional<CallId> call_of(const InputId& input) const override;
  std::vector<LeasedInput> leased_by(const ContainerId& container) const override;
  std::vector<FunctionId> functions_with_demand() const override;
  async::Task<void> sweep() override;

 private:
  // Keeps a call in memory while a task uses it across a wait.
  class Pin {
   public:
    Pin(Queue& queue, Alive alive, Call& call)
        : queue_(&queue), alive_(std::move(alive)), call_(&call) {
      ++call.pins;
      queue.leave_idle(call);
    }
    Pin(Pin&& other) noexcept
        : queue_(std::exchange(other.queue_, nullptr)),
          alive_(std::move(other.alive_)),
          call_(other.call_) {}
    Pin& operator=(Pin&&) = delete;
    ~Pin() {
      if (queue_ != nullptr && *alive_) {
        queue_->unpin(*call_);
      }
    }
    Call& operator*() const { return *call_; }
    Call* operator->() const { return call_; }

   private:
    Queue* queue_;
    Alive alive_;
    Call* call_;
  };

  struct Added {
    std::vector<InputId> ids;      // as asked for
    std::vector<Input*> fresh;     // made now
    std::vector<Input*> unstored;  // there already, but not on disk yet
  };

  // --- calls ---
  Function& function_of(const FunctionId& id);
  Call& make_call(model::NewCall call, WallTime created_at);
  void erase(Call& call);
  void unpin(Call& call);
  void leave_idle(Call& call);
  void enter_idle_if_unused(Call& call);
  static async::Task<Pin> find(Queue& self, CallId id);
  Call& adopt(StoredCall stored);

  // --- inputs ---
  Result<void> admit(const Function& function, const std::vector<model::NewInput>& inputs) const;
  Added add(Call& call, std::vector<model::NewInput> inputs);
  static async::Task<void> publish(Queue& self, Call& call, std::vector<Input*> fresh);
  void drop_unstored(Call& call, const std::vector<Input*>& inputs);
  static std::vector<StoredInput> to_store(const std::vector<Input*>& inputs);
  enum class Place { front, back };
  void make_ready(Input& input, Place place);
  void hold(Input& input);
  void leave_container(Input& input);
  void retry_later(Input& input, Duration delay);
  Verdict judge(const Input& input, OutcomeKind outcome) const;
  LeasedInput leased(const Input& input) const;

  // --- endings ---
  static StoredEnding ending_of(const Input& input, const Outcome& outcome);
  void end(Input& input, LogEntry entry);
  static async::Task<void> end_all(Queue& self, std::vector<Input*> inputs, Outcome outcome);
  static async::Task<void> store_endings(Queue& self, std::vector<Input*> inputs, Outcome outcome);
  void ending_failed(Input& input);
  static async::Task<void> complete_durable(Queue& self, Input& input, Verdict verdict,
                                            Outcome outcome);
  void apply(Input& input, const Verdict& verdict);

  // --- logs ---
  void push_entry(Call& call, LogEntry entry);
  void charge(std::size_t bytes) { bytes_ += bytes; }
  void refund(std::size_t bytes) {
    THAW_CHECK(bytes <= bytes_);
    bytes_ -= bytes;
  }
  static std::size_t cost(const std::string& payload) { return payload.size() + entry_overhead; }

  // --- background ---
  void report(Function& function);
  void start_timer();
  static async::Task<void> retry_when_due(Queue& self, Alive alive);
  void retry_due();
  static async::Task<void> end_what_may_not_run(Queue& self, Alive alive,
                                                std::vector<Input*> cancelled,
                                                std::vector<Input*> damaged);

  async::Loop& loop_;
  store::Database& database_;
  QueueLimits limits_;
  Alive alive_ = std::make_shared<bool>(true);
  std::size_t bytes_ = 0;
  std::unordered_map<CallId, std::unique_ptr<Call>> calls_;
  std::unordered_map<InputId, Input*> inputs_;
  std::unordered_map<FunctionId, std::unique_ptr<Function>> functions_;
  std::unordered_map<ContainerId, std::list<Input*>> containers_;
  std::list<Call*> idle_memory_;  // finished and unused, the longest first
  std::list<Call*> idle_durable_;
  std::multimap<Instant, Input*> due_;
  async::Event due_changed_;
  bool timer_started_ = false;
  std::vector<Function*> to_report_;
  std::function<void(const FunctionId&)> notify_;
  async::TaskGroup tasks_;
};

// --- calls ------------------------------------------------------------------------------------

Queue::~Queue() {
  *alive_ = false;
  for (auto& [id, call] : calls_) {
    call->changed.notify_all();
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

Call& Queue::make_call(model::NewCall call, WallTime created_at) {
  auto made = std::make_unique<Call>();
  made->function = &function_of(call.function);
  made->created_at = created_at;
  made->call = std::move(call);
  charge(cost(made->call.options));
  Call& result = *made;
  calls_.emplace(result.call.id, std::move(made));
  return result;
}

void Queue::erase(Call& call) {
  leave_idle(call);
  for (const auto& [index, input] : call.inputs) {
    inputs_.erase(input->id);
    refund(cost(input->payload));
  }
  refund(call.log_bytes);
  refund(cost(call.call.options));
  calls_.erase(calls_.find(call.call.id));
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
  leave_idle(call);
  std::list<Call*>& idle = call.durable() ? idle_durable_ : idle_memory_;
  call.idle = true;
  call.idle_since = monotonic_now();
  call.idle_place = idle.insert(idle.end(), &call);
}

void Queue::unpin(Call& call) {
  --call.pins;
  if (call.forgotten && call.pins == 0 && call.unfinished == 0) {
    erase(call);
  } else {
    enter_idle_if_unused(call);
  }
}

// From memory, else from disk.
async::Task<Queue::Pin> Queue::find(Queue& self, CallId id) {
  const Alive alive = self.alive_;
  if (const auto found = self.calls_.find(id); found != self.calls_.end()) {
    co_return Pin(self, alive, *found->second);
  }
  std::function<Result<std::optional<StoredCall>>(store::Sql&)> load = [id](store::Sql& sql) {
    return detail::load_call(sql, id);
  };
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
  co_return Pin(self, alive, self.adopt(std::move(*stored)));
}

// A finished call that comes back from disk, or an unfinished one at the start; its unfinished
// inputs are `storing` until somebody makes them ready.
Call& Queue::adopt(StoredCall stored) {
  Call& call = make_call(std::move(stored.call), stored.created_at);
  call.cancelled = stored.cancelled;
  call.last_number = stored.last_number;
  for (StoredInput& from : stored.inputs) {
    auto input = std::make_unique<Input>();
    input->id = std::move(from.id);
    input->call = &call;
    input->index = from.index;
    input->payload = from.damaged ? std::string() : std::move(from.payload);
    input->state = from.ended ? State::ended : State::storing;
    input->attempts = from.attempts;
    input->retries = from.retries;
    input->enqueued_at = from.enqueued_at;
    call.unfinished += from.ended ? 0 : 1;
    charge(cost(input->payload));
    inputs_.emplace(input->id, input.get());
    call.inputs.emplace(from.index, std::move(input));
  }
  return call;
}

Result<void> Queue::load() {
  std::vector<StoredCall> calls;
  THAW_TRY_VOID(database_.read_now([&calls](store::Sql& sql) -> Result<void> {
    THAW_TRY(calls, detail::load_unfinished(sql));
    return ok();
  }));
  std::vector<std::pair<std::int64_t, Input*>> runnable;
  std::vector<Input*> cancelled;
  std::vector<Input*> damaged;
  for (StoredCall& stored : calls) {
    const std::vector<StoredInput> inputs = [&stored] {
      std::vector<StoredInput> unfinished;
      for (const StoredInput& input : stored.inputs) {
        if (!input.ended) {
          StoredInput brief;
          brief.id = input.id;
          brief.order = input.order;
          brief.damaged = input.damaged;
          unfinished.push_back(std::move(brief));
        }
      }
      return unfinished;
    }();
    const Call& call = adopt(std::move(stored));
    for (const StoredInput& brief : inputs) {
      Input* input = inputs_.at(brief.id);
      if (call.cancelled) {
        cancelled.push_back(input);
      } else if (brief.damaged) {
        damaged.push_back(input);
      } else {
        runnable.emplace_back(brief.order, input);
      }
    }
  }
  std::sort(runnable.begin(), runnable.end());
  for (const auto& [order, input] : runnable) {
    make_ready(*input, Place::back);
  }
  if (!cancelled.empty() || !damaged.empty()) {
    tasks_.start("end what may not run",
                 end_what_may_not_run(*this, alive_, std::move(cancelled), std::move(damaged)));
  }
  return ok();
}

async::Task<void> Queue::end_what_may_not_run(Queue& self, Alive alive,
                                              std::vector<Input*> cancelled,
                                              std::vector<Input*> damaged) {
  if (!*alive) {
    co_return closed();
  }
  for (const Input* input : damaged) {
    log_error("a stored input is damaged", {{"input", input->id.str()}});
  }
  for (Input* input : cancelled) {
    self.hold(*input);
  }
  for (Input* input : damaged) {
    self.hold(*input);
  }
  Outcome terminated{OutcomeKind::terminated, {}};
  THAW_CO_TRY_VOID(co_await end_all(self, std::move(cancelled), std::move(terminated)));
  if (!*alive) {
    co_return closed();
  }
  Outcome lost{OutcomeKind::internal_failure, {}};
  co_return co_await end_all(self, std::move(damaged), std::move(lost));
}

async::Task<CallInfo> Queue::info(CallId id) {
  THAW_CO_TRY(const Pin call, co_await find(*this, std::move(id)));
  CallInfo info;
  info.call = call->call;
  info.inputs = static_cast<int>(call->inputs.size());
  info.unfinished = call->unfinished;
  info.cancelled = call->cancelled;
  info.created_at = call->created_at;
  co_return info;
}

void Queue::forget(const CallId& id) {
  const auto found = calls_.find(id);
  if (found == calls_.end() || found->second->unfinished > 0) {
    return;
  }
  if (found->second->pins > 0) {
    found->second->forgotten = true;
  } else {
    erase(*found->second);
  }
}

// --- creating ---------------------------------------------------------------------------------

Result<void> Queue::admit(const Function& function,
                          const std::vector<model::NewInput>& inputs) const {
  std::size_t bytes = 0;
  for (const model::NewInput& input : inputs) {
    if (input.index < 0) {
      return Error::invalid_argument("an input's index is negative");
    }
    bytes += cost(input.payload);
  }
  if (function.ready.size() + function.storing + inputs.size() > limits_.ready_per_function) {
    return Error::resource_exhausted(
        "the function " + function.id.str() + " has too many waiting inputs (at most " +
        std::to_string(limits_.ready_per_function) + "); try again later");
  }
  if (bytes_ + bytes > limits_.payload_bytes_in_memory || calls_.size() >= most_calls) {
    return Error::resource_exhausted("the queue holds too many calls or bytes; try again later");
  }
  return ok();
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
    charge(cost(slot->payload));
    inputs_.emplace(slot->id, slot.get());
    ++call.unfinished;
    added.ids.push_back(slot->id);
    added.fresh.push_back(slot.get());
  }
  return added;
}

void Queue::drop_unstored(Call& call, const std::vector<Input*>& inputs) {
  for (Input* input : inputs) {
    inputs_.erase(input->id);
    refund(cost(input->payload));
    --call.unfinished;
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

async::Task<std::vector<InputId>> Queue::create(model::NewCall call,
                                                std::vector<model::NewInput> inputs) {
  const Alive alive = alive_;
  if (calls_.contains(call.id)) {
    co_return Error::already_exists("there is a call " + call.id.str());
  }
  Function& function = function_of(call.function);
  THAW_CO_TRY_VOID(admit(function, inputs));
  Call& made = make_call(std::move(call), wall_now());
  const Pin pin(*this, alive, made);
  Added added = add(made, std::move(inputs));
  if (made.durable()) {
    function.storing += added.fresh.size();
    auto rows = std::make_shared<const std::vector<StoredInput>>(to_store(added.fresh));
    std::function<Result<void>(store::Sql&)> work =
        [rows, head = made.call, at = made.created_at](store::Sql& sql) -> Result<void> {
      THAW_TRY_VOID(detail::insert_call(sql, head, at));
      return detail::insert_inputs(sql, head.id, *rows);
    };
    Result<void> stored = co_await database_.write<void>(std::move(work));
    if (!*alive) {
      co_return closed();
    }
    function.storing -= added.fresh.size();
    if (!stored) {
      drop_unstored(made, added.fresh);
      made.forgotten = true;
      co_return std::move(stored).error();
    }
  }
  THAW_CO_TRY_VOID(co_await publish(*this, made, std::move(added.fresh)));
  co_return std::move(added.ids);
}

// New inputs, on disk if they have to be, become ready.
async::Task<void> Queue::publish(Queue& self, Call& call, std::vector<Input*> fresh) {
  if (call.cancelled) {
    // While they were stored. Nobody has seen them: they end like the others.
    for (Input* input : fresh) {
      self.hold(*input);
    }
    Outcome terminated{OutcomeKind::terminated, {}};
    co_return co_await end_all(self, std::move(fresh), std::move(terminated));
  }
  for (Input* input : fresh) {
    self.make_ready(*input, Place::back);
  }
  if (!fresh.empty()) {
    call.function->became_ready.notify_all();
  }
  co_return ok();
}

async::Task<std::vector<InputId>> Queue::add_inputs(CallId id,
                                                    std::vector<model::NewInput> inputs) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  if (call->cancelled) {
    co_return Error::failed_precondition("the call " + id.str() + " was cancelled");
  }
  Function& function = *call->function;
  THAW_CO_TRY_VOID(admit(function, inputs));
  Added added = add(*call, std::move(inputs));
  if (call->durable() && !added.fresh.empty()) {
    function.storing += added.fresh.size();
    auto rows = std::make_shared<const std::vector<StoredInput>>(to_store(added.fresh));
    std::function<Result<void>(store::Sql&)> work = [rows, id](store::Sql& sql) {
      return detail::insert_inputs(sql, id, *rows);
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
  }
  if (call->durable() && !added.unstored.empty()) {
    // Writes end in order: once this one has, so has that of whoever sent the index first.
    std::function<Result<void>(store::Sql&)> nothing = [](store::Sql&) { return ok(); };
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

// --- where inputs are -------------------------------------------------------------------------

// From `storing`: into the function's list. From the held ones: back to the ready ones.
void Queue::make_ready(Input& input, Place place) {
  Function& function = *input.call->function;
  const auto position = place == Place::front ? function.ready.begin() : function.ready.end();
  if (input.state == State::storing) {
    input.place = function.ready.insert(position, &input);
  } else {
    function.ready.splice(position, function.held, input.place);
  }
  input.state = State::ready;
  input.ready_since = wall_now();
  report(function);
}

// Into the function's held inputs, from wherever it is; `ending` until its caller says otherwise.
void Queue::hold(Input& input) {
  Function& function = *input.call->function;
  switch (input.state) {
    case State::storing: input.place = function.held.insert(function.held.end(), &input); break;
    case State::ready:
      function.held.splice(function.held.end(), function.ready, input.place);
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
  --input.call->function->leased;
  report(*input.call->function);
}

LeasedInput Queue::leased(const Input& input) const {
  LeasedInput out;
  out.input = input.id;
  out.call = input.call->call.id;
  out.function = input.call->call.function;
  out.durability = input.call->call.durability;
  out.index = input.index;
  out.attempt = input.attempts;
  out.retry = input.retries;
  out.payload = input.payload;
  out.enqueued_at = input.enqueued_at;
  return out;
}

std::vector<LeasedInput> Queue::lease(const FunctionId& id, const ContainerId& container,
                                      std::size_t max) {
  std::vector<LeasedInput> leases;
  THAW_CHECK(!container.empty());
  const auto found = functions_.find(id);
  if (found == functions_.end() || found->second->ready.empty() || max == 0) {
    return leases;
  }
  Function& function = *found->second;
  std::list<Input*>& mine = containers_[container];
  struct Delivered {
    InputId input;
    int attempts;
    int retries;
  };
  std::vector<Delivered> durable;
  while (!function.ready.empty() && leases.size() < max) {
    Input& input = *function.ready.front();
    function.held.splice(function.held.end(), function.ready, input.place);
    input.state = State::leased;
    input.container = container;
    input.orphaned = false;
    input.lease_place = mine.insert(mine.end(), &input);
    ++input.attempts;
    ++function.leased;
    if (input.call->durable()) {
      durable.push_back({input.id, input.attempts, input.retries});
    }
    leases.push_back(leased(input));
  }
  if (!durable.empty()) {
    database_.write_later([durable = std::move(durable)](store::Sql& sql) -> Result<void> {
      for (const Delivered& one : durable) {
        THAW_TRY_VOID(detail::note_delivery(sql, one.input, one.attempts, one.retries));
      }
      return ok();
    });
  }
  report(function);
  return leases;
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
    const Instant next = self.due_.empty() ? Instant::max() : self.due_.begin()->first;
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await self.due_changed_.wait(next));
  }
  co_return ok();
}

void Queue::retry_due() {
  const Instant now = monotonic_now();
  while (!due_.empty() && due_.begin()->first <= now) {
    Input& input = *due_.begin()->second;
    due_.erase(due_.begin());
    make_ready(input, Place::back);
    input.call->function->became_ready.notify_all();
  }
}

// --- endings ----------------------------------------------------------------------------------

Verdict Queue::judge(const Input& input, OutcomeKind outcome) const {
  const detail::Delivery delivery{input.attempts, input.retries, input.call->cancelled};
  return detail::judge(input.call->call.retry, limits_.redeliveries, delivery, outcome);
}

StoredEnding Queue::ending_of(const Input& input, const Outcome& outcome) {
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
  entry.payload = outcome.payload;
  return ending;
}

// `entry.number` is 0 in a call that lives in memory: it is given here.
void Queue::end(Input& input, LogEntry entry) {
  Call& call = *input.call;
  Function& function = *call.function;
  leave_container(input);
  if (input.state == State::ready) {
    function.ready.erase(input.place);
  } else {
    if (input.state == State::delayed) {
      due_.erase(input.due);
    }
    function.held.erase(input.place);
  }
  input.state = State::ended;
  refund(input.payload.size());
  input.payload = std::string();
  --call.unfinished;
  report(function);
  push_entry(call, std::move(entry));
  enter_idle_if_unused(call);
}

void Queue::ending_failed(Input& input) {
  // The outcome is not on disk, so the input has not ended. Its container may try again; if it has
  // none, another one gets it.
  if (input.container.empty() || input.orphaned) {
    leave_container(input);
    make_ready(input, Place::front);
    input.call->function->became_ready.notify_all();
  } else {
    input.state = State::leased;
  }
  input.call->changed.notify_all();
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
    endings->push_back(ending_of(*input, outcome));
  }
  std::function<Result<void>(store::Sql&)> work =
      [endings, now = wall_now()](store::Sql& sql) -> Result<void> {
    for (StoredEnding& ending : *endings) {
      THAW_TRY(ending.entry.number, detail::end_input(sql, ending, now));
    }
    return ok();
  };
  Result<void> stored = co_await self.database_.write<void>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (stored) {
      self.end(*inputs[i], std::move((*endings)[i].entry));
    } else {
      self.ending_failed(*inputs[i]);
    }
  }
  co_return stored;
}

void Queue::apply(Input& input, const Verdict& verdict) {
  if (verdict.next == Verdict::Next::retry) {
    retry_later(input, verdict.delay);
  } else {
    leave_container(input);
    make_ready(input, Place::front);
    input.call->function->became_ready.notify_all();
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
  const Verdict verdict = judge(*input, outcome.kind);
  if (input->call->durable() && verdict.next != Verdict::Next::redeliver) {
    co_return co_await complete_durable(*this, *input, verdict, std::move(outcome));
  }
  if (verdict.next == Verdict::Next::end) {
    LogEntry entry = ending_of(*input, {outcome.kind, {}}).entry;
    entry.payload = std::move(outcome.payload);
    end(*input, std::move(entry));
  } else {
    apply(*input, verdict);
  }
  co_return ok();
}

async::Task<void> Queue::complete_durable(Queue& self, Input& input, Verdict verdict,
                                          Outcome outcome) {
  const Alive alive = self.alive_;
  self.hold(input);
  if (verdict.next == Verdict::Next::end) {
    std::vector<Input*> one{&input};
    co_return co_await store_endings(self, std::move(one), std::move(outcome));
  }
  std::function<Result<void>(store::Sql&)> work = [id = input.id, attempts = input.attempts,
                                                   retries = input.retries + 1](store::Sql& sql) {
    return detail::note_delivery(sql, id, attempts, retries);
  };
  Result<void> stored = co_await self.database_.write<void>(std::move(work));
  if (!*alive) {
    co_return closed();
  }
  if (!stored) {
    self.ending_failed(input);
    co_return stored;
  }
  self.apply(input, verdict);
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
  std::vector<Input*> cancelled;
  std::vector<Input*> ended;
  for (Input* input : found->second) {
    const bool internal = verdict.kind == OutcomeKind::internal_failure;
    if (input->state == State::ending) {
      input->orphaned = true;
    } else if (input->call->cancelled && internal) {
      cancelled.push_back(input);
    } else if (internal && judge(*input, verdict.kind).next == Verdict::Next::redeliver) {
      again.push_back(input);
    } else {
      ended.push_back(input);
    }
  }
  // Redelivery needs no write: the delivery was recorded when it began.
  Function* function = nullptr;
  for (auto it = again.rbegin(); it != again.rend(); ++it) {
    leave_container(**it);
    make_ready(**it, Place::front);
    if (function != nullptr && function != (*it)->call->function) {
      function->became_ready.notify_all();
    }
    function = (*it)->call->function;
  }
  if (function != nullptr) {
    function->became_ready.notify_all();
  }
  for (const auto* list : {&cancelled, &ended}) {
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
  THAW_CO_TRY_VOID(co_await end_all(*this, std::move(ended), std::move(verdict)));
  co_return first;
}

async::Task<void> Queue::fail_all(FunctionId id, Outcome verdict) {
  const auto found = functions_.find(id);
  if (found == functions_.end()) {
    co_return ok();
  }
  const Function& function = *found->second;
  std::vector<Input*> all;
  for (Input* input : function.held) {
    if (input->state != State::ending) {
      all.push_back(input);
    }
  }
  all.insert(all.end(), function.ready.begin(), function.ready.end());
  co_return co_await end_all(*this, std::move(all), std::move(verdict));
}

async::Task<std::vector<InputId>> Queue::cancel(CallId id) {
  const Alive alive = alive_;
  THAW_CO_TRY(const Pin call, co_await find(*this, id));
  if (call->unfinished == 0 && !call->inputs.empty()) {
    co_return std::vector<InputId>{};
  }
  call->cancelled = true;
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
    std::function<Result<void>(store::Sql&)> work = [id](store::Sql& sql) {
      return detail::mark_cancelled(sql, id);
    };
    const Result<void> stored = co_await database_.write<void>(std::move(work));
    if (!*alive) {
      co_return closed();
    }
    if (!stored) {
      for (Input* input : waiting) {
        ending_failed(*input);
      }
      call->cancelled = false;
      co_return stored.error();
    }
  }
  Outcome terminated{OutcomeKind::terminated, {}};
  THAW_CO_TRY_VOID(co_await end_all(*this, std::move(waiting), std::move(terminated)));
  co_return running;
}

// --- logs -------------------------------------------------------------------------------------

void Queue::push_entry(Call& call, LogEntry entry) {
  if (entry.number == 0) {
    entry.number = call.last_number + 1;
  }
  THAW_CHECK(entry.number > call.last_number);
  call.last_number = entry.number;
  const std::size_t bytes = cost(entry.payload);
  call.log_bytes += bytes;
  charge(bytes);
  call.log.push_back(std::move(entry));
  while (call.durable() && call.log.size() > 1 &&
         (call.log.size() > durable_log_entries || call.log_bytes > durable_log_bytes)) {
    const std::size_t freed = cost(call.log.front().payload);
    call.log_bytes -= freed;
    refund(freed);
    call.log.pop_front();
  }
  call.changed.notify_all();
}

async::Task<std::uint64_t> Queue::append(CallId id, LogEntry entry) {
  const Alive alive = alive_;
  if (entry.kind == LogEntry::Kind::final_) {
    co_return Error::invalid_argument("a final entry is made by complete()");
  }
  const auto found = calls_.find(id);
  if (found == calls_.end() || found->second->unfinished == 0) {
    co_return Error::failed_precondition("the call " + id.str() + " has ended");
  }
  Call& call = *found->second;
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
    co_return Error::failed_precondition("the input is not running there any more");
  }
  if (bytes_ + cost(entry.payload) > limits_.payload_bytes_in_memory) {
    co_return Error::resource_exhausted("the queue holds too many bytes; try again later");
  }
  entry.number = 0;
  entry.input = input->id;
  entry.index = input->index;
  entry.attempts = input->attempts;
  if (!call.durable()) {
    push_entry(call, std::move(entry));
    co_return call.last_number;
  }
  const Pin pin(*this, alive, call);
  auto shared = std::make_shared<LogEntry>(std::move(entry));
  std::function<Result<std::uint64_t>(store::Sql&)> work = [id, shared](store::Sql& sql) {
    return detail::append_entry(sql, id, *shared);
  };
  THAW_CO_TRY(const std::uint64_t number, co_await database_.write<std::uint64_t>(std::move(work)));
  if (!*alive) {
    co_return closed();
  }
  shared->number = number;
  push_entry(call, std::move(*shared));
  co_return number;
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
    while (seen + 1 < call->first_in_memory() && found.size() < max) {
      const std::size_t limit = wanted ? entries_per_page : std::min(entries_per_page, max);
      std::function<Result<std::vector<LogEntry>>(store::Sql&)> load =
          [id, seen, limit](store::Sql& sql) { return detail::read_log(sql, id, seen, limit); };
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

// --- for control and for people ---------------------------------------------------------------

void Queue::report(Function& function) {
  if (!notify_ || function.reported) {
    return;
  }
  function.reported = true;
  to_report_.push_back(&function);
  if (to_report_.size() > 1) {
    return;
  }
  loop_.post([this, alive = alive_] {
    if (!*alive) {
      return;
    }
    const std::vector<Function*> changed = std::exchange(to_report_, {});
    for (Function* one : changed) {
      one->reported = false;
    }
    for (const Function* one : changed) {
      notify_(one->id);
    }
  });
}

Demand Queue::demand(const FunctionId& id) const {
  Demand demand;
  if (const auto found = functions_.find(id); found != functions_.end()) {
    const Function& function = *found->second;
    demand.ready = function.ready.size();
    demand.leased = function.leased;
    if (!function.ready.empty()) {
      demand.oldest_ready = function.ready.front()->ready_since;
    }
  }
  return demand;
}

std::optional<CallId> Queue::call_of(const InputId& input) const {
  const auto found = inputs_.find(input);
  return found == inputs_.end() ? std::nullopt : std::optional(found->second->call->call.id);
}

std::vector<LeasedInput> Queue::leased_by(const ContainerId& container) const {
  std::vector<LeasedInput> leases;
  if (const auto found = containers_.find(container); found != containers_.end()) {
    for (const Input* input : found->second) {
      leases.push_back(leased(*input));
    }
  }
  return leases;
}

std::vector<FunctionId> Queue::functions_with_demand() const {
  std::vector<FunctionId> ids;
  for (const auto& [id, function] : functions_) {
    if (!function->ready.empty()) {
      ids.push_back(id);
    }
  }
  return ids;
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
  const WallTime before =
      wall_now() - std::chrono::duration_cast<std::chrono::microseconds>(limits_.keep_results);
  while (true) {
    std::function<Result<std::int64_t>(store::Sql&)> work = [before](store::Sql& sql) {
      return detail::delete_finished(sql, before, expired_per_write);
    };
    THAW_CO_TRY(const std::int64_t deleted,
                co_await database_.write<std::int64_t>(std::move(work)));
    if (!*alive || deleted < expired_per_write) {
      co_return ok();
    }
  }
}

}  // namespace

std::vector<store::Migration> migrations() { return detail::journal_migrations(); }

Result<std::unique_ptr<CallQueue>> CallQueue::open(async::Loop& loop, store::Database& database,
                                                   QueueLimits limits) {
  auto queue = std::make_unique<Queue>(loop, database, limits);
  THAW_TRY_VOID(queue->load());
  return queue;
}

}  // namespace thaw::queue
