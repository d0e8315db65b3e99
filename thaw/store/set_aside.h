// SPDX-License-Identifier: Apache-2.0
//
// What cannot be read must not stop a server, and must not be lost either. Its rows are moved into
// the table `set_aside` of the same database, as text that a person can read and put back, with
// the reason; whoever owns the rows goes on without them and says so in the log. The table is
// bounded; the oldest go. Each function runs inside a transaction of the caller.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/store/database.h"

namespace thaw::store {

struct Unreadable {
  const AnyTable* table;  // a constant
  Place place;            // which row of it
  std::string object;     // what it is, for people: "function fu-…"
  std::string reason;
};

// Moves the row. Fine if there is none.
Result<void> set_aside(Transaction& transaction, const Unreadable& row);
// The same when the loop runs, with a line in the log at once.
void set_aside_later(Database& database, Unreadable row);

// Moves the rows whose `column` is the key of no row of `parents`; returns how many.
Result<std::int64_t> set_aside_orphans(Transaction& transaction, const AnyTable& table,
                                       ColumnNumber column, const AnyTable& parents,
                                       const std::string& object, const std::string& reason);

// How many rows of which table lie aside.
Result<std::map<std::string, std::int64_t>> count_set_aside(Transaction& transaction);

std::vector<Step> steps_of_set_aside();

}  // namespace thaw::store
