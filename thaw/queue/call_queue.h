// SPDX-License-Identifier: Apache-2.0
//
// CallQueue: every call from its acceptance to its final result. Inputs become ready per target
// in order of arrival, are leased to containers, and end with an outcome; each call has one
// numbered log that any number of readers await. Hot state is in memory; a durable call's row,
// inputs, attempts and log are on disk before they are acknowledged, and open() brings unfinished
// ones back as ready (their leases died with the old process). The first outcome of an input wins.
// Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/model/call.h"
#include "thaw/queue/callbacks.h"
#include "thaw/queue/payloads.h"
#include "thaw/store/database.h"
#include "thaw/store/disk_shares.h"

namespace thaw::queue {

struct QueueLimits {
  std::size_t ready_per_function = 100'000;        // past it: resource_exhausted
  std::size_t unfinished_per_workspace = 300'000;  // inputs
  // Payloads in memory, of all; of them at most so much for one workspace and one function. What
  // `reserved_bytes` holds back of all is only for those who have less than `small_share_bytes`.
  std::size_t payload_bytes_in_memory = 4ull << 30;
  std::size_t bytes_per_workspace = 2ull << 30;
  std::size_t bytes_per_function = 1ull << 30;
  std::size_t reserved_bytes = 256u << 20;
  std::size_t small_share_bytes = 16u << 20;
  // Pieces of one call that nobody has taken: with so many the next one waits. Of a durable call:
  // all of its pieces, which are on disk; past it they are refused.
  std::size_t unread_bytes_per_call = 4u << 20;
  std::size_t stored_piece_bytes_per_call = 16u << 20;
  std::size_t largest_piece_bytes = 24u << 20;    // one that large is taken while there is no other
  std::size_t replay_bytes_per_call = 1u << 20;   // pieces kept after they were taken
  std::size_t largest_inline_bytes = 256u << 10;  // of a durable call; past it a blob
  int redeliveries = 5;  // after internal failures, beside the user's retries
  Duration keep_results = std::chrono::hours(24 * 7);  // durable calls
  Duration keep_memory_results =
      std::chrono::minutes(10);  // finished synchronous calls nobody read
  CallbackLimits callbacks = {};
};

struct LeasedInput {
  model::InputId input;
  model::WorkspaceId workspace;  // of its call: its payload's blob is there
  model::CallId call;
  model::FunctionId function;
  model::Durability durability = model::Durability::memory;
  int index = 0;
  int attempt = 1;  // this delivery, from 1
  int retry = 0;    // user-visible retries before this one, from 0
  model::Payload payload;
  WallTime enqueued_at{};
  std::optional<Duration> run_for;  // instead of the function's own time limit
  Instant end_by = Instant::max();  // it may not run past it
  bool is_only_delivery = false;    // to begin only once record() has said that it is on record
  model::TokenId token;             // of its call
  model::Origin origin = model::Origin::client;
};

// What a delivery is charged: written in the transaction of its outcome, and there until whoever
// keeps the ledger has it.
struct OwedLine {
  std::string id;
  std::string line;  // opaque to the queue
};

// What a container is when it takes inputs.
struct Taker {
  std::string_view version;  // of the function that it runs
  model::Level level = model::Level::booted;
};

struct CallInfo {
  model::NewCall call;
  int inputs = 0;
  int unfinished = 0;
  bool cancelled = false;
  WallTime created_at{};
  std::optional<WallTime> started_at;   // when a container first got an input of it
  std::optional<WallTime> finished_at;  // when its last input ended; none while one has not
};

// An input of a call, as it is now.
struct InputView {
  model::InputId id;
  int index = 0;
  // waiting: no container has it, or its next try is to come. running: `container` has it.
  enum class State { waiting, running, ended } state = State::waiting;
  model::ContainerId container;
  int attempts = 0;  // deliveries that have begun
  WallTime enqueued_at{};
};

// What makes two requests the same: the key that their caller gave, for one workspace and function,
// kept for 24 h; and a fingerprint of what was asked for. At most 255 bytes each.
struct Once {
  std::string key;
  std::string fingerprint;
};

struct Created {
  model::CallId id;
  std::vector<model::InputId> inputs;  // empty if it was there
  enum class Was { made, there } was = Was::made;
};

struct CallFilter {
  model::WorkspaceId workspace;
  model::FunctionId function;  // empty: all
  enum class State { any, unfinished, finished } state = State::any;
  // Created from..until, the latter not included.
  WallTime from{};
  WallTime until = WallTime::max();
};

struct ListedCall {
  model::CallId id;
  model::AppId app;
  model::FunctionId function;
  model::Durability durability = model::Durability::memory;
  model::Origin origin = model::Origin::client;
  WallTime created_at{};
  std::optional<WallTime> finished_at;
  bool cancelled = false;
};

struct CallPage {
  std::vector<ListedCall> calls;  // the newest first
  std::string next;               // where to go on; empty: that was all
};

struct QueueCounters {
  std::uint64_t expired = 0;  // inputs that waited longer than their calls allow
};

struct Demand {
  std::size_t ready = 0;       // waiting now
  std::size_t leased = 0;      // in containers
  std::size_t unfinished = 0;  // these, and those that wait for their next try
  WallTime oldest_ready{};     // when `ready` > 0
};

// What read() does at the end of a call without unfinished inputs: a map whose caller still sends
// inputs waits, everybody else is done.
enum class WhenIdle { returns, waits };

// Takes the names of what a payload's bytes refer to out of them; any thread.
using FindReferences = std::function<void(std::string_view bytes, std::vector<std::string>&)>;
using NoteReference =
    std::function<void(const model::WorkspaceId& workspace, const std::string& name)>;

std::vector<store::Migration> migrations();

class CallQueue {
 public:
  // Loads unfinished durable calls. All outlive the queue. `disk` may be null: what durable calls
  // take of the disk is then nobody's; and `blobs`: all payloads are then in the journal.
  static Result<std::unique_ptr<CallQueue>> open(async::Loop& loop, store::Database& database,
                                                 QueueLimits limits,
                                                 store::DiskShares* disk = nullptr,
                                                 store::BlobStore* blobs = nullptr);
  virtual ~CallQueue() = default;

  // --- the caller's side ---
  // A durable call, its inputs and callbacks are on disk when this returns; in one transaction.
  // Refused with resource_exhausted when a share of the queue, or of the disk, is full.
  // already_exists if there is a call of that id, also one that ended, until its results expire.
  virtual async::Task<std::vector<model::InputId>> create(model::NewCall call,
                                                          std::vector<model::NewInput> inputs) = 0;
  // The same, once for a key: who asks again, whatever has become of the call, is told which it is.
  // failed_precondition if the key was used for another request. The key of a durable call outlives
  // the server, those of synchronous ones do not; of these at most 100,000 are kept.
  virtual async::Task<Created> create_once(model::NewCall call, std::vector<model::NewInput> inputs,
                                           Once once) = 0;
  // More inputs for a call (a map). An index that is there already returns its existing id,
  // whatever has become of the call; failed_precondition for new ones of a cancelled call.
  virtual async::Task<std::vector<model::InputId>> add_inputs(
      model::CallId call, std::vector<model::NewInput> inputs) = 0;
  // Entries numbered > `after`, at most `max`; waits until there is one, the call has no
  // unfinished input, or `deadline`. An empty answer means one of the latter two. `wanted`, when
  // given, selects entries (the wait is for a matching one). not_found when unknown or expired.
  // Status entries are there only if the call asked for them; of a durable call the last ones may
  // be missing after a crash.
  virtual async::Task<std::vector<model::LogEntry>> read(
      model::CallId call, std::uint64_t after, std::size_t max, Instant deadline,
      std::function<bool(const model::LogEntry&)> wanted,
      WhenIdle when_idle = WhenIdle::returns) = 0;
  virtual async::Task<CallInfo> info(model::CallId call) = 0;  // not_found when unknown or expired
  // By index, from `first` on, at most `most`. How one has ended its log says. not_found as above.
  // Of a call with very many inputs those behind a large gap in its indexes are left out.
  virtual async::Task<std::vector<InputView>> inputs(model::CallId call, int first,
                                                     std::size_t most) = 0;
  // Drops the payloads of a finished synchronous call at once; of a cancelled one with its end.
  virtual void forget(const model::CallId& call) = 0;
  // The same for all finished synchronous calls of a function (it was stopped a while ago).
  virtual void forget_all(const model::FunctionId& function) = 0;
  // The reader of a synchronous call has the entries up to this number: they may leave the memory
  // (the last few stay for a reader whose connection broke), and append() goes on.
  virtual void take(const model::CallId& call, std::uint64_t up_to) = 0;
  // Ready inputs end as terminated; the ids of those that run are returned (their containers are
  // to be told).
  virtual async::Task<std::vector<model::InputId>> cancel(model::CallId call) = 0;

  // --- the container's side ---
  // Takes up to `max` ready inputs of `target`, oldest first. The lease ends with complete(),
  // release() or the container's death. A durable attempt is recorded before the next complete().
  virtual std::vector<LeasedInput> lease(const model::Target& target,
                                         const model::ContainerId& container, std::size_t max,
                                         const Taker& taker = {}) = 0;
  // Returns when the attempts of all that has been leased so far are on disk, where they belong
  // there. An error: they may not be.
  virtual async::Task<void> recorded() = 0;
  // The attempts of these are on disk when it returns; else an error, and they may not begin.
  virtual async::Task<void> record(std::vector<LeasedInput> inputs) = 0;
  // Notified whenever an input of `target` becomes ready. The reference stays valid while
  // somebody waits on it, or until the next sweep(). Call lease() first and wait only when it gave
  // nothing.
  virtual async::Event& ready(const model::Target& target) = 0;
  // Records the outcome; decides about a retry by the call's policy; appends final_ to the log. On
  // disk (if durable) when it returns. Ignored, with ok, if the input has ended or the lease is
  // another container's. A large payload of a durable call whose workspace is past its share of the
  // disk is not kept: the input ends as failed, and the failure says so. An outcome that is no
  // success and has neither payload nor failure gets a failure that says what its kind means.
  virtual async::Task<void> complete(model::InputId input, model::ContainerId container,
                                     model::Outcome outcome) = 0;
  // Before complete(): of a durable call this is on disk with the outcome, or neither is. Nothing
  // if the input is not that container's.
  virtual void owe(const model::InputId& input, const model::ContainerId& container,
                   OwedLine line) = 0;
  // The lines that nobody has taken yet, at most `most`.
  virtual async::Task<std::vector<OwedLine>> owed(std::size_t most) = 0;
  // The ledger has these. Nobody waits for that: who asks again is told again.
  virtual void settle(std::vector<std::string> ids) = 0;
  // A piece of a running input's output (generator item, web response part); returns its number.
  // `entry.input` may be empty for a call with one input. failed_precondition if that input is not
  // running, or runs in another container than `entry.container` (when given). `attempts` of the
  // entry is set to the delivery that made it. Waits while the call's reader is behind, or the
  // share of its function or workspace is full; resource_exhausted when others of the same call
  // wait already, or a durable call has as many as are kept on disk. Of a cancelled call a piece is
  // dropped, and the answer is 0.
  virtual async::Task<std::uint64_t> append(model::CallId call, model::LogEntry entry) = 0;
  // The input of this call is not to be delivered again, whatever becomes of it (its output has
  // begun to leave the house).
  virtual void forbid_repeats(const model::CallId& call) = 0;
  // Before complete() with a large payload: waits until the function's share has room for it, at
  // most until `deadline`. Of an input that another container has, complete() takes nothing, and
  // nobody waits or gives way.
  virtual async::Task<void> wait_for_room(model::InputId input, model::ContainerId container,
                                          std::size_t bytes, Instant deadline) = 0;
  // The container is gone: its inputs become ready again (at the front) or end with `verdict` once
  // their redeliveries are spent; with another kind than internal_failure they are tried again as
  // their call's policy says. Those of cancelled calls end as terminated.
  virtual async::Task<void> release(model::ContainerId container, model::Outcome verdict) = 0;
  // Ends all unfinished inputs of a function (it was stopped).
  virtual async::Task<void> fail_all(model::FunctionId function, model::Outcome verdict) = 0;
  // Ends those of a target that no container has (it cannot start).
  virtual async::Task<void> fail_waiting(model::Target target, model::Outcome verdict) = 0;

  // --- for control and for people ---
  virtual QueueCounters counters() const = 0;
  virtual Callbacks& callbacks() = 0;
  // What it tells has large payloads by name; here are their bytes.
  virtual Payloads& payloads() = 0;
  // At most `most` calls (up to 100). A page that is short, or empty, is the last one only if it
  // says so: the work for a page is bounded too. `cursor`: what the page before has given, or
  // empty. invalid_argument if it is not.
  virtual async::Task<CallPage> list(CallFilter filter, std::string cursor, std::size_t most) = 0;
  virtual Demand demand(const model::Target& target) const = 0;
  // Called when ready inputs of a target appear or its leases change; set once, by control.
  // Comes in a later turn of the loop, once for many changes: it may call the queue.
  virtual void on_demand(std::function<void(const model::Target&)> notify) = 0;
  virtual std::optional<model::CallId> call_of(const model::InputId& input) const = 0;
  virtual std::vector<LeasedInput> leased_by(const model::ContainerId& container) const = 0;
  // Whether it has the lease of an input of that call.
  virtual bool works_on(const model::ContainerId& container, const model::CallId& call) const = 0;
  // Those that have ready inputs (after open(): those that survived a crash).
  virtual std::vector<model::Target> targets_with_demand() const = 0;
  // What the payloads of all calls that were there when it began refer to, with the workspaces of
  // the calls. In pieces, between which others have their turn. Measures on its way what durable
  // calls take of the disk.
  virtual async::Task<void> visit_references(FindReferences find, NoteReference note) = 0;
  // Forgets results and calls that were kept long enough; call every minute.
  virtual async::Task<void> sweep() = 0;
};

}  // namespace thaw::queue
