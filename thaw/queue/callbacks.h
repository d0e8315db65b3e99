// SPDX-License-Identifier: Apache-2.0
//
// Callbacks: the durable readers of calls' logs that tell somebody outside. Each has a row with its
// place in its call's log. A row is inserted in the transaction that makes the call, becomes due in
// the transaction that writes an entry it wants, and ends when all is told or its time is over; the
// call is kept until then. Rows of one workspace and receiver are a lane: what is in memory is of
// lanes, not of rows. Who tells (gateway/callback_loop.h) asks a lane for what is due, and reports.
// What it is given to tell is on disk. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/model/call.h"
#include "thaw/store/database.h"

namespace thaw::queue {

struct CallbackLane {
  model::WorkspaceId workspace;
  std::string receiver;

  auto operator<=>(const CallbackLane&) const = default;
};

// The numbers are on disks.
enum class CallbackState : std::uint8_t { pending = 0, delivered = 1, given_up = 2 };

struct DueCallback {
  std::int64_t row = 0;
  model::CallId call;
  int ordinal = 0;  // among those of its call, from 0
  CallbackLane lane;
  std::string sink;
  model::CallbackWants wants;
  std::string dialect;
  std::string options;
  std::uint64_t cursor = 0;  // all that it wants up to here is told
  int failures = 0;          // of the entry that is next
  std::optional<WallTime> until;
};

// What is next for one callback, with what is known of its call.
struct CallbackTurn {
  model::CallId call;
  model::WorkspaceId workspace;
  model::AppId app;
  model::FunctionId function;
  std::string options;  // of the call
  WallTime created_at{};
  std::optional<WallTime> started_at;
  std::optional<WallTime> finished_at;
  bool is_cancelled = false;
  std::optional<model::LogEntry> entry;  // none: all there is so far is told
  // Bytes of its payload, where these are not here for their size; a beginning of it that says what
  // it is may be.
  std::uint64_t left_out = 0;
};

struct CallbackView {
  int ordinal = 0;
  std::string sink;
  model::CallbackWants wants;
  CallbackState state = CallbackState::pending;
  int told = 0;                      // entries
  int tries = 0;                     // in all
  std::string why;                   // the last try failed
  std::optional<WallTime> next_try;  // while there is something to tell
  std::optional<WallTime> until;
};

struct CallbackLimits {
  std::size_t per_call = 8;
  std::size_t pending_per_workspace = 100'000;
  std::size_t receivers_per_workspace = 1'000;  // that something is pending for
  std::size_t sink_bytes = 2'048;
  std::size_t options_bytes = 4'096;
  std::size_t told_bytes = 1u << 20;  // of a payload; who tells has no more of it in memory
  Duration longest_try = std::chrono::hours(24 * 7);
};

class Callbacks {
 public:
  // `database` outlives it.
  Callbacks(store::Database& database, CallbackLimits limits)
      : database_(database), limits_(limits) {}
  ~Callbacks() { *alive_ = false; }
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;

  // --- for who tells ---
  // Brings what a crash left into order, gives what is pending some minutes of time if it has less,
  // and returns the lanes that something is pending for. Once, before the others.
  async::Task<std::vector<CallbackLane>> begin();
  // Called when something of a lane has become due; set once.
  void on_due(std::function<void(const CallbackLane&)> notify) { notify_ = std::move(notify); }
  // Those that are due at `now`, at most `most`, the longest due first.
  async::Task<std::vector<DueCallback>> due(CallbackLane lane, WallTime now, std::size_t most);
  // When the first of a lane that is not due at `now` will be.
  async::Task<std::optional<WallTime>> next_due(CallbackLane lane, WallTime now);
  // not_found: its call is gone. data_loss: the entry is not what was written.
  async::Task<CallbackTurn> turn(DueCallback callback);
  // All that it wants up to this entry is told. It stays due if there is more, and is delivered if
  // the call has ended.
  async::Task<void> told(DueCallback callback, std::uint64_t number);
  // The try of its next entry failed; the next try is at `next`.
  async::Task<void> failed(const DueCallback& callback, WallTime next, const std::string& why);
  async::Task<void> give_up(DueCallback callback, std::string why);

  // --- for people ---
  async::Task<std::vector<CallbackView>> of(model::CallId call);
  std::size_t pending(const model::WorkspaceId& workspace) const;
  const CallbackLimits& limits() const { return limits_; }

  // --- for the queue ---
  Result<void> load();
  // invalid_argument, or resource_exhausted when the workspace's share is full.
  Result<void> admit(const model::NewCall& call) const;
  void count(const CallbackLane& lane, int more);
  // After the transaction that has said so.
  struct Changes {
    std::vector<CallbackLane> due;
    std::vector<CallbackLane> reopened;
    std::vector<CallbackLane> ended;
  };
  void apply(const Changes& changes);
  // Gives up those whose time is over; none before begin() is done.
  async::Task<void> sweep();

 private:
  // Of one workspace.
  struct Held {
    std::size_t pending = 0;
    std::map<std::string, std::size_t> receivers;
  };
  async::Task<void> change(std::function<Result<Changes>(store::Transaction&)> work);

  store::Database& database_;
  CallbackLimits limits_;
  std::map<std::string, Held> held_;  // by workspace
  std::function<void(const CallbackLane&)> notify_;
  bool has_begun_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace thaw::queue
