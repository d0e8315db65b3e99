// SPDX-License-Identifier: Apache-2.0
//
// What cannot be read must not stop a server, and must not be lost either. Its rows are moved into
// the table `set_aside` of the same database, as SQL text that a person can read and put back, with
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
  std::string table;                 // whose rows
  std::vector<std::string> columns;  // that are kept
  std::string condition;             // which rows: SQL with a "?" for each of `values`
  std::vector<Value> values;
  std::string object;  // what they are, for people: "function fu-…"
  std::string reason;
};

// Moves the rows. Fine if there are none.
Result<void> set_aside(Sql& sql, const Unreadable& rows);
// The same when the loop runs, with a line in the log at once.
void set_aside_later(Database& database, Unreadable rows);

// How many rows of which table lie aside.
Result<std::map<std::string, std::int64_t>> count_set_aside(Sql& sql);

}  // namespace thaw::store
