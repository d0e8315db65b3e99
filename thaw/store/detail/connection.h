// SPDX-License-Identifier: Apache-2.0
//
// Connection: one SQLite connection as a Sql, with its statements cached by their text. It turns
// SQLite's codes into ours, once, here: damage is data_loss, a full disk resource_exhausted, a
// broken uniqueness already_exists. One thread at a time.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/store/database.h"

namespace thaw::store::detail {

class Connection final : public Sql {
 public:
  enum class Mode { create, write, read };
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Mode mode);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<std::int64_t> run(std::string_view statement, std::vector<Value> values) override;
  Result<void> each(std::string_view query, std::vector<Value> values,
                    const std::function<void(const Row&)>& visit) override;
  std::int64_t last_insert_id() const override;

  // Any number of statements, not cached.
  Result<void> script(const std::string& statements);
  // The first column of the first row; 0 if there is none.
  Result<std::int64_t> number(std::string_view query);
  // Of pages that are cached and not in use.
  void release_memory() { sqlite3_db_release_memory(db_); }
  // SQLite itself ends a transaction on some failures (disk full, I/O).
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

 private:
  class Statement;
  explicit Connection(std::string path) : path_(std::move(path)) {}
  Result<Statement> prepare(std::string_view text);
  Error failure(int code, std::string_view doing) const;

  std::string path_;
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
};

// Calls `work`; what it throws becomes an Error.
Result<void> run_guarded(const std::function<Result<void>(Sql&)>& work, Sql& sql);

}  // namespace thaw::store::detail
