// SPDX-License-Identifier: Apache-2.0
//
// Sql: one SQLite connection by statements' text, for what verbs do not say: settings, how a
// database is looked at before it is used, and the transactions themselves. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::store::detail {

struct SqlBlob {  // binds and reads as BLOB where std::string is TEXT
  std::string bytes;
};
using SqlValue = std::variant<std::nullptr_t, std::int64_t, double, std::string, SqlBlob>;

class SqlRow {
 public:
  virtual ~SqlRow() = default;
  virtual std::int64_t integer(int column) const = 0;
  virtual double real(int column) const = 0;
  virtual std::string text(int column) const = 0;  // TEXT or BLOB bytes
  virtual bool is_null(int column) const = 0;
};

// Statements are prepared once and cached by their text.
class Sql {
 public:
  virtual ~Sql() = default;
  // Returns the number of changed rows.
  virtual Result<std::int64_t> run(std::string_view statement, std::vector<SqlValue> values) = 0;
  virtual Result<void> each(std::string_view query, std::vector<SqlValue> values,
                            const std::function<void(const SqlRow&)>& visit) = 0;
  // Any number of statements, not cached.
  virtual Result<void> script(const std::string& statements) = 0;
};

}  // namespace thaw::store::detail
