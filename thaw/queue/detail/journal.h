// SPDX-License-Identifier: Apache-2.0
//
// The durable half of the queue: what changes its tables (tables.h). Each function
// runs inside a transaction of the caller, on a database thread, and touches values only. Payloads
// carry a checksum: a changed bit is data_loss, not a wrong result.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "thaw/model/call.h"
#include "thaw/queue/call_queue.h"
#include "thaw/queue/detail/callback_rows.h"
#include "thaw/queue/detail/tables.h"
#include "thaw/store/database.h"
#include "thaw/store/set_aside.h"

namespace thaw::queue::detail {

// What an input or a log entry costs beside its payload, in memory and on disk.
constexpr std::size_t entry_overhead = 256;

struct StoredInput {
  model::InputId id;
  int index = 0;
  model::Payload payload;
  int attempts = 0;
  int retries = 0;
  WallTime enqueued_at{};
  bool ended = false;
  bool damaged = false;    // its payload is not what was stored
  std::int64_t order = 0;  // of arrival, over all calls; its row
  std::string unreadable;  // why nothing can be done with it; empty: it is fine
};

struct StoredCall {
  model::NewCall call;
  WallTime created_at{};
  bool cancelled = false;
  WallTime started_at{};   // zero: not yet
  WallTime finished_at{};  // zero: not yet
  std::uint64_t last_number = 0;
  std::size_t piece_bytes = 0;     // of chunks
  std::size_t status_entries = 0;  // so many
  std::int64_t callback_wants = 0;
  std::vector<StoredInput> inputs;
  std::int64_t row = 0;
};

struct StoredEnding {
  model::CallId call;
  model::InputId input;
  int attempts = 0;
  int retries = 0;
  model::LogEntry entry;
  bool wakes = false;  // callbacks of its call
  OwedLine owed;       // empty: nothing
};

Result<void> insert_call(store::Transaction& transaction, const model::NewCall& call,
                         WallTime created_at);
Result<void> insert_inputs(store::Transaction& transaction, const model::CallId& call,
                           const std::vector<StoredInput>& inputs);
Result<void> mark_cancelled(store::Transaction& transaction, const model::CallId& call);
// A delivery begins. The first one's time stays.
Result<void> note_start(store::Transaction& transaction, const model::InputId& input, int attempts,
                        int retries, WallTime at);
// A delivery ended, and another will follow.
Result<void> note_delivery(store::Transaction& transaction, const model::InputId& input,
                           int attempts, int retries);
// Nothing, if it is empty.
Result<void> put_owed(store::Transaction& transaction, const OwedLine& owed);
// Both return the number that the entry got.
Result<std::uint64_t> append_entry(store::Transaction& transaction, const model::CallId& call,
                                   const model::LogEntry& entry);
Result<std::uint64_t> end_input(store::Transaction& transaction, const StoredEnding& ending,
                                WallTime now, CallbackChanges& changes);

Result<std::vector<model::LogEntry>> read_log(store::Transaction& transaction,
                                              const model::CallId& call, std::uint64_t after,
                                              std::size_t limit);
Result<std::optional<StoredCall>> load_call(store::Transaction& transaction,
                                            const model::CallId& call);
Result<std::vector<StoredCall>> load_unfinished(store::Transaction& transaction);
// After a start: calls without an unfinished input are finished, and what belongs to no call is set
// aside.
Result<void> repair(store::Transaction& transaction, WallTime now);
// The row of an input or a call that cannot be used.
store::Unreadable unreadable_input(const StoredInput& input, const model::CallId& call);
store::Unreadable unreadable_call(const StoredCall& stored, std::string reason);
// Deletes up to `limit` calls that finished before `before`, or whose own time is over at `now`,
// and that no callback has to read any more; returns which.
Result<std::vector<model::CallId>> delete_finished(store::Transaction& transaction, WallTime before,
                                                   WallTime now, int limit,
                                                   CallbackChanges& changes);
// Of up to `limit` calls, what their logs carry: they asked to keep it no longer.
Result<std::vector<model::CallId>> drop_payloads(store::Transaction& transaction, WallTime now,
                                                 int limit);

}  // namespace thaw::queue::detail
