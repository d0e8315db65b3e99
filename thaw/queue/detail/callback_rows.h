// SPDX-License-Identifier: Apache-2.0
//
// The table of callbacks. Each function runs inside a transaction of the caller, on a database
// thread, and touches values only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/queue/callbacks.h"
#include "thaw/store/database.h"

namespace thaw::queue::detail {

using CallbackChanges = Callbacks::Changes;

// Of CallbackWants; the numbers are on disks.
constexpr std::int64_t wants_started = 1;
constexpr std::int64_t wants_output = 2;
constexpr std::int64_t wants_final = 4;
std::int64_t number_of(const model::CallbackWants& wants);
// What has to be wanted for that entry to be told; 0: it never is.
std::int64_t wanted_for(const model::LogEntry& entry);

// `ended_at`: of a call that has no input yet, and so has nothing to wait for; else null.
Result<void> insert_callbacks(store::Transaction& transaction, const model::NewCall& call,
                              const std::vector<model::Callback>& callbacks,
                              const WallTime* ended_at);
// What the callbacks of a call want together; 0: it has none.
Result<std::int64_t> load_wants(store::Transaction& transaction, const model::CallId& call);
// Whether a callback has not been told all, or given up.
Result<bool> has_pending_callbacks(store::Transaction& transaction, std::string_view call);
// An entry was written: what wants it is due. After a final one the call may have ended: then its
// callbacks have an end, and what it carries is kept for them.
Result<void> wake_callbacks(store::Transaction& transaction, const model::CallId& call,
                            const model::LogEntry& entry, WallTime now, CallbackChanges& changes);
// The call goes on: it has inputs again.
Result<void> reopen_callbacks(store::Transaction& transaction, const model::CallId& call);
Result<void> delete_callbacks(store::Transaction& transaction, const std::string& call,
                              CallbackChanges& changes);

}  // namespace thaw::queue::detail
