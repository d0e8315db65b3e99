// SPDX-License-Identifier: Apache-2.0
//
// Queue: the CallQueue on its hot state (state.h) and its journal. Every public task may outlive
// it: a task that wakes up looks at `alive` before it touches the queue. Its parts are in files of
// their own: queue_calls.cc (calls come, go, and come back from disk), queue_inputs.cc (where
// inputs are), queue_endings.cc (outcomes), queue_log.cc (call logs), queue_lists.cc,
// queue_keys.cc, queue_references.cc.
#pragma once

#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/base/check.h"
#include "thaw/queue/call_queue.h"
#include "thaw/queue/detail/callback_rows.h"
#include "thaw/queue/detail/journal.h"
#include "thaw/queue/detail/state.h"
#include "thaw/queue/detail/verdict.h"

namespace thaw::queue::detail {

using model::CallId;
using model::ContainerId;
using model::FunctionId;
using model::InputId;
using model::LogEntry;
using model::Outcome;
using model::OutcomeKind;
using model::Target;

// False once the queue is gone. Background tasks take it as a parameter, because they may begin
// only after that.
using Alive = std::shared_ptr<bool>;

inline Error closed() { return Error::cancelled("the queue is closed"); }

class Queue final : public CallQueue {
 public:
  Queue(async::Loop& loop, store::Database& database, QueueLimits limits, store::DiskShares* disk,
        store::BlobStore* blobs)
      : loop_(loop),
        database_(database),
        limits_(limits),
        disk_(disk),
        callbacks_(database, limits.callbacks),
        payloads_(blobs, disk, limits.largest_inline_bytes),
        tasks_(loop) {}
  ~Queue() override;
  Result<void> load();

  async::Task<std::vector<InputId>> create(model::NewCall call,
                                           std::vector<model::NewInput> inputs) override {
    return make(*this, std::move(call), std::move(inputs), nullptr);
  }
  async::Task<Created> create_once(model::NewCall call, std::vector<model::NewInput> inputs,
                                   Once once) override;
  async::Task<std::vector<InputId>> add_inputs(CallId id,
                                               std::vector<model::NewInput> inputs) override;
  async::Task<std::vector<LogEntry>> read(CallId id, std::uint64_t after, std::size_t max,
                                          Instant deadline,
                                          std::function<bool(const LogEntry&)> wanted,
                                          WhenIdle when_idle) override;
  async::Task<CallInfo> info(CallId id) override;
  async::Task<std::vector<InputView>> inputs(CallId id, int first, std::size_t most) override;
  void forget(const CallId& id) override;
  void forget_all(const FunctionId& id) override;
  void take(const CallId& id, std::uint64_t up_to) override;
  void forbid_repeats(const CallId& id) override;
  async::Task<void> wait_for_room(InputId id, ContainerId container, std::size_t bytes,
                                  Instant deadline) override;
  async::Task<std::vector<InputId>> cancel(CallId id) override;

  async::Task<void> recorded() override;
  async::Task<void> record(std::vector<LeasedInput> inputs) override;
  std::vector<LeasedInput> lease(const Target& target, const ContainerId& container,
                                 std::size_t max, const Taker& taker) override;
  async::Event& ready(const Target& target) override { return line_of(target).became_ready; }
  async::Task<void> complete(InputId id, ContainerId container, Outcome outcome) override;
  void owe(const InputId& id, const ContainerId& container, OwedLine line) override;
  async::Task<std::vector<OwedLine>> owed(std::size_t most) override;
  void settle(std::vector<std::string> ids) override;
  async::Task<std::uint64_t> append(CallId id, LogEntry entry) override;
  async::Task<void> release(ContainerId container, Outcome verdict) override;
  async::Task<void> fail_all(FunctionId function, Outcome verdict) override;
  async::Task<void> fail_waiting(Target target, Outcome verdict) override;

  QueueCounters counters() const override { return counters_; }
  Callbacks& callbacks() override { return callbacks_; }
  Payloads& payloads() override { return payloads_; }
  async::Task<CallPage> list(CallFilter filter, std::string cursor, std::size_t most) override;
  Demand demand(const Target& target) const override;
  void on_demand(std::function<void(const Target&)> notify) override {
    notify_ = std::move(notify);
  }
  std::optional<CallId> call_of(const InputId& input) const override;
  std::vector<LeasedInput> leased_by(const ContainerId& container) const override;
  bool works_on(const ContainerId& container, const CallId& call) const override;
  std::vector<Target> targets_with_demand() const override;
  async::Task<void> visit_references(FindReferences find, NoteReference note) override;
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

  // One of several that write what an input says, where one of them waits for a blob: they go in
  // the order in which they came. Its call is pinned, or the input has not ended.
  class Turn {
   public:
    Turn(Alive alive, Input& input);
    ~Turn() { end(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    // The next one may go: what this one writes is on its way.
    void end();
    static async::Task<void> wait(Turn& self);

   private:
    Alive alive_;
    Input* input_;
    std::list<int>::iterator place_;
  };

  struct Added {
    std::vector<InputId> ids;      // as asked for
    std::vector<Input*> fresh;     // made now
    std::vector<Input*> unstored;  // there already, but not on disk yet
  };

  // --- calls ---
  Function& function_of(const FunctionId& id);
  Line& line_of(const Target& target);
  Workspace& workspace_of(const model::WorkspaceId& id) { return workspaces_[id]; }
  // `key` is stored with it; null: it has none.
  static async::Task<std::vector<InputId>> make(Queue& self, model::NewCall call,
                                                std::vector<model::NewInput> inputs,
                                                std::shared_ptr<const StoredKey> key);
  Call& make_call(model::NewCall call, WallTime created_at);
  void erase(Call& call);
  void unpin(Call& call);
  void leave_idle(Call& call);
  void enter_idle_if_unused(Call& call);
  static async::Task<Pin> find(Queue& self, CallId id);
  struct Unfinished {
    std::int64_t order = 0;
    Input* input = nullptr;
    bool damaged = false;
  };
  // What cannot be used is set aside. Adds the inputs that have not ended.
  Call& adopt(StoredCall stored, std::vector<Unfinished>& unfinished);

  // --- lists and keys ---
  ListPart list_in_memory(const CallFilter& filter, const ListKey& before, std::size_t most) const;
  void forget_idle(const std::vector<model::CallId>& calls);
  void forget_old_keys();
  struct HeldKey {
    StoredKey stored;
    bool is_on_its_way = false;  // to the disk: nobody knows yet whether its call is made
  };
  using HeldKeys = std::map<std::string, HeldKey>;

  // --- inputs ---
  Result<void> admit(const Workspace& workspace, Function& function,
                     const std::vector<model::NewInput>& inputs, std::size_t calls);
  bool make_room(const Workspace& workspace, const Function& function, const Share& asked);
  Added add(Call& call, std::vector<model::NewInput> inputs);
  static async::Task<void> publish(Queue& self, Call& call, std::vector<Input*> fresh);
  // Those of a durable call that are large become blobs.
  static async::Task<void> keep_large(Queue& self, model::WorkspaceId workspace,
                                      std::vector<model::NewInput>& inputs);
  void drop_unstored(Call& call, const std::vector<Input*>& inputs);
  static std::vector<StoredInput> to_store(const std::vector<Input*>& inputs);
  enum class Place { front, back };
  void make_ready(Input& input, Place place);
  void hold(Input& input);
  void leave_container(Input& input);
  void retry_later(Input& input, Duration delay);
  int redeliveries_of(const Call& call) const {
    return call.call.limits.redeliveries.value_or(limits_.redeliveries);
  }
  // It has begun as often as its call allows beside its retries.
  static bool is_spent(const Input& input);
  Verdict judge(const Input& input, OutcomeKind outcome) const;
  LeasedInput leased(const Input& input) const;

  // --- endings ---
  static StoredEnding ending_of(const Input& input, Outcome outcome);
  void end(Input& input, LogEntry entry);
  static async::Task<void> end_all(Queue& self, std::vector<Input*> inputs, Outcome outcome);
  static async::Task<void> store_endings(Queue& self, std::vector<Input*> inputs, Outcome outcome);
  static async::Task<void> retry_all(Queue& self, std::vector<Input*> inputs, Outcome outcome);
  // The disk has not taken the end of this delivery, which was to be `outcome`.
  void ending_failed(Input& input, const Outcome& outcome);
  static async::Task<void> end_later(Queue& self, Alive alive, InputId id, Outcome outcome);
  static async::Task<void> complete_durable(Queue& self, Input& input, Verdict verdict,
                                            Outcome outcome);
  void apply(Input& input, const Verdict& verdict, const Outcome& outcome);

  // --- logs ---
  // A status entry, if the call wants them. `input` may be null: it is of the whole call.
  void tell(Call& call, const Input* input, model::CallStatus status, const Outcome& outcome = {});
  static async::Task<void> store_status(Queue& self, Alive alive, CallId id, LogEntry entry);
  void push_entry(Call& call, LogEntry entry);
  void drop_payload(Call& call, LogEntry& entry);
  void drop_taken(Call& call);
  Result<Input*> running(Call& call, const LogEntry& entry) const;
  static async::Task<std::uint64_t> append_durable(Queue& self, Call& call, InputId input,
                                                   LogEntry entry);
  bool has_room(const Call& call, std::size_t bytes);
  void charge(Call& call, std::size_t bytes) {
    for (Share* share : {&all_, &call.workspace->share, &call.function->share}) {
      share->bytes += bytes;
    }
  }
  void refund(Call& call, std::size_t bytes) {
    for (Share* share : {&all_, &call.workspace->share, &call.function->share}) {
      THAW_CHECK(bytes <= share->bytes);
      share->bytes -= bytes;
    }
    if (bytes > 0 && room_.has_waiters()) {
      room_.notify_all();
    }
  }
  void count_unfinished(Call& call, int more);
  // Whether the call's workspace may have so much more on disk; counts what is there now.
  Result<void> check_disk(const model::NewCall& call, std::size_t bytes) const;
  void count_callbacks(const model::NewCall& call, const std::vector<model::Callback>& callbacks,
                       int more);
  // Whether a callback of the call wants to be told of that entry.
  static bool wakes(const Call& call, const LogEntry& entry) {
    return (call.callback_wants & wanted_for(entry)) != 0;
  }
  void count_disk(const Call& call, std::size_t more, std::size_t less = 0);
  static std::size_t cost(const model::Payload& payload) { return payload.size() + entry_overhead; }
  static std::size_t cost(const LogEntry& entry) {
    return cost(entry.payload) + (entry.failure ? entry.failure->size() : 0);
  }
  // Of a piece that nobody has taken, with what of it is a blob.
  static std::size_t unread_cost(const LogEntry& entry) {
    return cost(entry) + (entry.payload.rest ? entry.payload.rest->size : 0);
  }
  static std::size_t cost_of(const std::vector<model::NewInput>& inputs) {
    std::size_t sum = 0;
    for (const model::NewInput& input : inputs) {
      sum += cost(input.payload);
    }
    return sum;
  }

  // --- background ---
  void report(Line& line);
  void start_timer();
  static async::Task<void> retry_when_due(Queue& self, Alive alive);
  void retry_due();
  void watch_expiry(Call& call, Instant when);
  void expire_due();
  struct Doomed {
    std::vector<Input*> inputs;
    Outcome outcome;
  };
  static async::Task<void> end_what_may_not_run(Queue& self, Alive alive,
                                                std::vector<Doomed> doomed);

  async::Loop& loop_;
  store::Database& database_;
  QueueLimits limits_;
  store::DiskShares* disk_;  // null: nobody counts
  Alive alive_ = std::make_shared<bool>(true);
  Share all_;
  async::Event room_;  // bytes were given back
  std::unordered_map<model::WorkspaceId, Workspace> workspaces_;
  std::unordered_map<CallId, std::unique_ptr<Call>> calls_;
  std::unordered_map<InputId, Input*> inputs_;
  std::unordered_map<FunctionId, std::unique_ptr<Function>> functions_;
  std::unordered_map<Target, std::unique_ptr<Line>> lines_;
  std::unordered_map<ContainerId, std::list<Input*>> containers_;
  std::list<Call*> idle_memory_;  // finished and unused, the longest first
  std::list<Call*> idle_durable_;
  std::multimap<Instant, Input*> due_;
  std::multimap<Instant, Call*> expiries_;
  async::Event due_changed_;
  bool timer_started_ = false;
  std::vector<Line*> to_report_;
  std::function<void(const Target&)> notify_;
  QueueCounters counters_;
  Callbacks callbacks_;
  Payloads payloads_;
  HeldKeys keys_;
  std::list<HeldKeys::iterator> keys_in_order_;  // of synchronous calls, the oldest first
  async::TaskGroup tasks_;
};

}  // namespace thaw::queue::detail
