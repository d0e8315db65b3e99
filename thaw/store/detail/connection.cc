// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/connection.h"

#include <cerrno>
#include <exception>
#include <utility>

namespace thaw::store::detail {

namespace {

constexpr std::size_t most_statements = 256;
constexpr int busy_timeout_ms = 10'000;

Code code_of_io(int extended, int system_error) {
  if (system_error == ENOSPC || system_error == EDQUOT) {
    return Code::resource_exhausted;
  }
  switch (extended) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
    case SQLITE_IOERR_CORRUPTFS:
    case SQLITE_IOERR_FSYNC: return Code::data_loss;
    default: return Code::unavailable;
  }
}

Code code_of_sqlite(int extended, int system_error) {
  switch (extended & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return Code::data_loss;
    case SQLITE_FULL:
    case SQLITE_NOMEM: return Code::resource_exhausted;
    case SQLITE_IOERR: return code_of_io(extended, system_error);
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return Code::unavailable;
    case SQLITE_READONLY:
    case SQLITE_PERM: return Code::permission_denied;
    case SQLITE_CANTOPEN:
      return system_error == ENOSPC ? Code::resource_exhausted : Code::unavailable;
    case SQLITE_TOOBIG: return Code::invalid_argument;
    case SQLITE_CONSTRAINT:
      return extended == SQLITE_CONSTRAINT_UNIQUE || extended == SQLITE_CONSTRAINT_PRIMARYKEY
                 ? Code::already_exists
                 : Code::failed_precondition;
    default: return Code::internal;
  }
}

class StatementRow final : public SqlRow {
 public:
  explicit StatementRow(sqlite3_stmt* statement) : statement_(statement) {}
  std::int64_t integer(int column) const override {
    return sqlite3_column_int64(statement_, column);
  }
  double real(int column) const override { return sqlite3_column_double(statement_, column); }
  std::string text(int column) const override {
    const void* bytes = sqlite3_column_type(statement_, column) == SQLITE_BLOB
                            ? sqlite3_column_blob(statement_, column)
                            : sqlite3_column_text(statement_, column);
    if (bytes == nullptr) {
      return {};
    }
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
    return {static_cast<const char*>(bytes), size};
  }
  bool is_null(int column) const override {
    return sqlite3_column_type(statement_, column) == SQLITE_NULL;
  }

 private:
  sqlite3_stmt* statement_;
};

int bind_value(sqlite3_stmt* statement, int position, const SqlValue& value) {
  // SQLITE_STATIC: the values outlive the statement's run.
  if (const auto* integer = std::get_if<std::int64_t>(&value)) {
    return sqlite3_bind_int64(statement, position, *integer);
  }
  if (const auto* real = std::get_if<double>(&value)) {
    return sqlite3_bind_double(statement, position, *real);
  }
  if (const auto* text = std::get_if<std::string>(&value)) {
    return sqlite3_bind_text64(statement, position, text->data(), text->size(), SQLITE_STATIC,
                               SQLITE_UTF8);
  }
  if (const auto* blob = std::get_if<SqlBlob>(&value)) {
    // A null pointer would bind NULL.
    const char* bytes = blob->bytes.empty() ? "" : blob->bytes.data();
    return sqlite3_bind_blob64(statement, position, bytes, blob->bytes.size(), SQLITE_STATIC);
  }
  return sqlite3_bind_null(statement, position);
}

}  // namespace

// A prepared statement in use: reset, or finalized if it is not a cached one, at the end.
class Connection::Statement {
 public:
  Statement(sqlite3_stmt* statement, bool cached) : statement_(statement), cached_(cached) {}
  Statement(Statement&& other) noexcept
      : statement_(std::exchange(other.statement_, nullptr)), cached_(other.cached_) {}
  Statement& operator=(Statement&&) = delete;
  ~Statement() {
    if (statement_ != nullptr && cached_) {
      sqlite3_reset(statement_);
      sqlite3_clear_bindings(statement_);
    } else {
      sqlite3_finalize(statement_);
    }
  }
  sqlite3_stmt* get() const { return statement_; }

 private:
  sqlite3_stmt* statement_;
  bool cached_;
};

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path, Mode mode) {
  std::unique_ptr<Connection> connection(new Connection(path));
  const int flags = mode == Mode::create  ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                    : mode == Mode::write ? SQLITE_OPEN_READWRITE
                                          : SQLITE_OPEN_READONLY;
  const int code =
      sqlite3_open_v2(path.c_str(), &connection->db_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) {
    const Error failure = connection->failure(code, "open");
    return Error(failure.code(), "cannot open " + path + ": " + failure.message());
  }
  if (mode == Mode::read) {
    sqlite3_db_config(connection->db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  }
  sqlite3_extended_result_codes(connection->db_, 1);
  sqlite3_busy_timeout(connection->db_, busy_timeout_ms);
  return connection;
}

Connection::~Connection() {
  for (const auto& [text, statement] : statements_) {
    sqlite3_finalize(statement);
  }
  for (const auto& [form, verb] : verbs_) {
    sqlite3_finalize(verb->statement);
  }
  sqlite3_close_v2(db_);
}

Error Connection::failure(int code, std::string_view doing) const {
  const int system_error = db_ == nullptr ? 0 : sqlite3_system_errno(db_);
  const char* text = db_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(db_);
  const Code ours = code_of_sqlite(code, system_error);
  // The message may reach a client: where the file is and what was run is for the log.
  std::string message;
  if (ours == Code::data_loss) {
    message = std::string("the database is damaged: ") + text +
              "; restore the file from a backup, or move it and its -wal file away to start empty";
  } else if (ours == Code::resource_exhausted && (code & 0xff) != SQLITE_NOMEM) {
    message = "the server's disk is full; make room on it and try again";
  } else {
    message = std::string("the database failed: ") + text;
  }
  return Error(ours, std::move(message))
      .with("database", path_)
      .with("doing", doing)
      .with("sqlite", text);
}

Result<Connection::Statement> Connection::prepare(std::string_view text) {
  const std::string key(text);
  const auto found = statements_.find(key);
  if (found != statements_.end() && sqlite3_stmt_busy(found->second) == 0) {
    return Statement(found->second, true);
  }
  const bool cache = found == statements_.end();
  sqlite3_stmt* statement = nullptr;
  const char* tail = nullptr;
  const int code = sqlite3_prepare_v3(db_, text.data(), static_cast<int>(text.size()),
                                      cache ? SQLITE_PREPARE_PERSISTENT : 0, &statement, &tail);
  if (code != SQLITE_OK) {
    return failure(code, "prepare \"" + key + "\"");
  }
  const std::string_view rest(tail, static_cast<std::size_t>(text.data() + text.size() - tail));
  if (statement == nullptr || rest.find_first_not_of(" \n\t;") != std::string_view::npos) {
    sqlite3_finalize(statement);
    return Error::internal("not exactly one SQL statement: \"" + key + "\"");
  }
  if (!cache) {
    return Statement(statement, false);
  }
  if (statements_.size() >= most_statements) {
    // Texts are few and constant; more mean that values were written into them.
    for (auto it = statements_.begin(); it != statements_.end();) {
      if (sqlite3_stmt_busy(it->second) != 0) {
        ++it;
        continue;
      }
      sqlite3_finalize(it->second);
      it = statements_.erase(it);
    }
  }
  statements_.emplace(key, statement);
  return Statement(statement, true);
}

Result<void> Connection::each(std::string_view query, std::vector<SqlValue> values,
                              const std::function<void(const SqlRow&)>& visit) {
  THAW_TRY(const Statement statement, prepare(query));
  if (static_cast<std::size_t>(sqlite3_bind_parameter_count(statement.get())) != values.size()) {
    return Error::internal("wrong number of values for \"" + std::string(query) + "\"");
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int code = bind_value(statement.get(), static_cast<int>(i) + 1, values[i]);
    if (code != SQLITE_OK) {
      return failure(code, "bind a value");
    }
  }
  const StatementRow row(statement.get());
  while (true) {
    const int code = sqlite3_step(statement.get());
    if (code == SQLITE_DONE) {
      return ok();
    }
    if (code != SQLITE_ROW) {
      return failure(code, "run \"" + std::string(query) + "\"");
    }
    if (visit) {
      visit(row);
    }
  }
}

Result<std::int64_t> Connection::run(std::string_view statement, std::vector<SqlValue> values) {
  THAW_TRY_VOID(each(statement, std::move(values), nullptr));
  return sqlite3_changes64(db_);
}

Result<void> Connection::script(const std::string& statements) {
  const int code = sqlite3_exec(db_, statements.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) {
    return failure(code, "run \"" + statements.substr(0, 200) + "\"");
  }
  return ok();
}

Result<std::int64_t> Connection::number(std::string_view query) {
  std::int64_t value = 0;
  THAW_TRY_VOID(each(query, {}, [&value](const SqlRow& row) { value = row.integer(0); }));
  return value;
}

Result<void> run_guarded(const std::function<Result<void>(Transaction&)>& work,
                         Transaction& transaction) {
  try {
    return work(transaction);
  } catch (const std::exception& thrown) {
    return Error::internal(std::string("the database work threw: ") + thrown.what());
  }
}

}  // namespace thaw::store::detail
