// SPDX-License-Identifier: Apache-2.0
//
// Looks at the server's own memory now and then, and gives back what is free, and what only saves
// reading it again, when policy says so.
#pragma once

#include <vector>

#include "thaw/async/blocking.h"
#include "thaw/async/task.h"
#include "thaw/net/server.h"
#include "thaw/store/database.h"

namespace thaw::main_program {

// Runs until it is cancelled.
async::Task<void> keep_memory(async::Pool& pool, const net::Server& server,
                              std::vector<store::Database*> databases, std::uint64_t limit_bytes);

}  // namespace thaw::main_program
