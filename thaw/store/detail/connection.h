// SPDX-License-Identifier: Apache-2.0
//
// Connection: one SQLite connection as a Transaction, with the statements of its verbs prepared
// once for each form (connection_verbs.cc), and as a Sql, cached by the text. It turns SQLite's
// codes into ours, once, here: damage is data_loss, a full disk resource_exhausted, a broken
// uniqueness already_exists. One thread at a time.
#pragma once

#include <sqlite3.h>

#include <array>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "thaw/store/database.h"
#include "thaw/store/detail/sql.h"
#include "thaw/store/detail/verb_text.h"

namespace thaw::store::detail {

class Connection final : public Transaction, public Sql {
 public:
  enum class Mode { create, write, read };
  static Result<std::unique_ptr<Connection>> open(const std::string& path, Mode mode);
  ~Connection() override;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<std::int64_t> run(std::string_view statement, std::vector<SqlValue> values) override;
  Result<void> each(std::string_view query, std::vector<SqlValue> values,
                    const std::function<void(const SqlRow&)>& visit) override;

  Result<std::int64_t> any_insert(const AnyTable& table, std::span<const AnyField> fields,
                                  Conflict conflict) override;
  Result<std::int64_t> any_update(const AnyTable& table, const Values& key,
                                  std::span<const AnyField> fields) override;
  Result<std::int64_t> any_erase(const AnyTable& table, const AnyIndex& index,
                                 const Bounds& bounds) override;
  Result<std::int64_t> any_erase_at(const AnyTable& table, const Place& place) override;
  Result<void> any_scan(const AnyTable& table, const AnyIndex& index, const Bounds& bounds,
                        const AnyColumns& columns, Visitor visit) override;
  Result<void> any_scan_at(const AnyTable& table, const Place& place, const AnyColumns& columns,
                           Visitor visit) override;
  Result<void> any_scan_orphans(const AnyTable& table, ColumnNumber column, const AnyTable& parents,
                                const AnyColumns& columns, Visitor visit) override;
  Result<std::int64_t> any_count(const AnyTable& table, const AnyIndex& index,
                                 const Bounds& bounds) override;

  Result<void> script(const std::string& statements) override;
  // The first column of the first row; 0 if there is none.
  Result<std::int64_t> number(std::string_view query);
  // Of pages that are cached and not in use.
  void release_memory() { sqlite3_db_release_memory(db_); }
  // SQLite itself ends a transaction on some failures (disk full, I/O).
  bool in_transaction() const { return sqlite3_get_autocommit(db_) == 0; }

 private:
  class Statement;
  class VerbUse;
  // The statement of a form of a verb, and where its columns are in a row.
  struct Verb {
    sqlite3_stmt* statement = nullptr;
    std::array<std::int8_t, 64> value_at{};
    std::array<std::int8_t, 64> size_at{};
    int number_at = -1;
  };
  explicit Connection(std::string path) : path_(std::move(path)) {}
  Result<Statement> prepare(std::string_view text);
  Result<VerbUse> prepare(const VerbForm& form);
  Error failure(int code, std::string_view doing) const;

  std::string path_;
  sqlite3* db_ = nullptr;
  std::unordered_map<std::string, sqlite3_stmt*> statements_;
  std::unordered_map<VerbForm, std::unique_ptr<Verb>, HashOfForm> verbs_;
};

// Calls `work`; what it throws becomes an Error.
Result<void> run_guarded(const std::function<Result<void>(Transaction&)>& work,
                         Transaction& transaction);

}  // namespace thaw::store::detail
