// SPDX-License-Identifier: Apache-2.0
//
// For tests: what stands behind a transaction, in its own language. A test that damages rows, or
// makes the tables of an earlier release, says it as it would be on the disk.
#pragma once

#include <string>

#include "thaw/store/database.h"
#include "thaw/store/detail/sql.h"

namespace thaw::store::testing {

using detail::Sql;
using detail::SqlBlob;
using detail::SqlRow;
using detail::SqlValue;

inline Sql& sql_of(Transaction& transaction) { return dynamic_cast<Sql&>(transaction); }

// The tables that somebody's migration of that version has made, as `statements`: it does not run
// then.
inline Result<void> make_as_of(Transaction& transaction, const std::string& owner, int version,
                               const std::string& statements) {
  THAW_TRY_VOID(sql_of(transaction).script(statements));
  for (int done = 1; done <= version; ++done) {
    THAW_TRY_VOID(sql_of(transaction)
                      .run("INSERT INTO migrations VALUES (?, ?, 0)", {owner, std::int64_t{done}}));
  }
  return ok();
}

}  // namespace thaw::store::testing
