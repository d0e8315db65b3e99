// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/detail/open_database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/base/time.h"
#include "thaw/store/detail/files.h"
#include "thaw/store/detail/migration_text.h"
#include "thaw/store/detail/wal_check.h"
#include "thaw/store/set_aside.h"

namespace thaw::store::detail {

namespace {

constexpr std::int64_t application_id = 0x54484157;  // "THAW"
constexpr std::uint64_t check_pages_below = 64ull << 20;

Error damaged(const std::string& path, std::string_view what) {
  return Error::data_loss(path + " is damaged: " + std::string(what) +
                          "; restore it from a backup, or move it and its -wal and -commits "
                          "files away to start empty");
}

std::uint64_t file_size(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

void remove_with_journals(const std::string& path) {
  for (const char* suffix : {"", "-wal", "-shm", "-journal"}) {
    ::unlink((path + suffix).c_str());
  }
}

Result<void> make_new(const std::string& path) {
  const std::string fresh = path + ".new";
  remove_with_journals(fresh);
  {
    THAW_TRY(auto connection, Connection::open(fresh, Connection::Mode::create));
    THAW_TRY_VOID(connection->script(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL;"
        "PRAGMA application_id = " +
        std::to_string(application_id) +
        ";CREATE TABLE migrations (owner TEXT NOT NULL, version INTEGER NOT NULL,"
        " applied_us INTEGER NOT NULL, PRIMARY KEY (owner, version));"));
    // In WAL from the start: a -wal file beside an empty database is then always damage.
    THAW_TRY_VOID(connection->script("PRAGMA journal_mode = WAL"));
  }
  if (::chmod(fresh.c_str(), 0600) != 0) {
    return Error::from_errno(errno, "cannot chmod " + fresh);
  }
  THAW_TRY(const os::Fd file, open_file(fresh, O_RDWR, 0));
  THAW_TRY_VOID(sync_file(file.get(), fresh));
  THAW_TRY_VOID(rename_file(fresh, path));
  return sync_folder(parent_of(path));
}

Result<void> check_header(const std::string& path) {
  THAW_TRY(const os::Fd file, open_file(path, O_RDONLY, 0));
  THAW_TRY(const std::string header, read_some(file.get(), 100, path));
  if (header.empty()) {
    return damaged(path, "it is empty");
  }
  if (header.size() < 100 || !header.starts_with(std::string_view("SQLite format 3\0", 16))) {
    return damaged(path, "it does not begin like a database");
  }
  return ok();
}

Result<void> check_content(Connection& connection, const std::string& path) {
  THAW_TRY(const std::int64_t id, connection.number("PRAGMA application_id"));
  if (id != application_id) {
    return Error::failed_precondition(path + " is a database, but not one of Thaw's");
  }
  THAW_TRY(const std::int64_t pages, connection.number("PRAGMA page_count"));
  THAW_TRY(const std::int64_t page_size, connection.number("PRAGMA page_size"));
  const std::uint64_t size = file_size(path);
  const bool whole = file_size(path + "-wal") == 0;  // what was in the -wal file is here now
  if (whole && size < static_cast<std::uint64_t>(pages * page_size)) {
    return damaged(path, "it is shorter than it says");
  }
  if (size <= check_pages_below) {
    std::string verdict;
    THAW_TRY_VOID(connection.each("PRAGMA quick_check(1)", {},
                                  [&verdict](const SqlRow& row) { verdict = row.text(0); }));
    if (verdict != "ok") {
      return damaged(path, verdict);
    }
  }
  return ok();
}

Result<void> configure(Connection& connection, DatabaseOptions::Sync sync) {
  return connection.script(std::string("PRAGMA synchronous = ") +
                           (sync == DatabaseOptions::Sync::full ? "FULL" : "NORMAL") +
                           ";PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;"
                           "PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 2000;"
                           "PRAGMA journal_size_limit = 67108864; PRAGMA trusted_schema = OFF;");
}

Result<void> take_steps(Connection& connection, const std::vector<Step>& steps) {
  for (const Step& step : steps) {
    if (const auto* rewrite = std::get_if<Rewrite>(&step)) {
      THAW_TRY_VOID(run_guarded(rewrite->work, connection));
    } else {
      THAW_TRY_VOID(connection.script(text_of(step)));
    }
  }
  return ok();
}

Result<void> migrate(Connection& connection, const DatabaseOptions& options) {
  std::map<std::string, std::int64_t> applied;
  THAW_TRY_VOID(
      connection.each("SELECT owner, max(version) FROM migrations GROUP BY owner", {},
                      [&applied](const SqlRow& row) { applied[row.text(0)] = row.integer(1); }));
  std::map<std::string, std::int64_t> known;
  for (const Migration& step : options.migrations) {
    THAW_CHECK(step.version == ++known[step.owner]);
    if (step.version <= applied[step.owner]) {
      continue;
    }
    THAW_TRY_VOID(connection.script("BEGIN IMMEDIATE"));
    Result<void> done = take_steps(connection, step.steps);
    if (done) {
      const std::int64_t now = wall_now().time_since_epoch().count();
      const auto recorded = connection.run("INSERT INTO migrations VALUES (?, ?, ?)",
                                           {step.owner, std::int64_t{step.version}, now});
      done = recorded ? connection.script("COMMIT") : Result<void>(recorded.error());
    }
    if (!done) {
      if (connection.in_transaction()) {
        [[maybe_unused]] const auto undone = connection.script("ROLLBACK");
      }
      return std::move(done).error().with("migration",
                                          step.owner + " " + std::to_string(step.version));
    }
  }
  for (const auto& [owner, version] : applied) {
    if (known.contains(owner) && version > known[owner]) {
      return Error::failed_precondition(options.path + " was written by a newer Thaw (" + owner +
                                        " is at version " + std::to_string(version) +
                                        ", this one knows " + std::to_string(known[owner]) +
                                        "); run that one");
    }
  }
  return ok();
}

enum class CommitColumn { one, number };
constexpr Column commit_columns[] = {{"one", Type::integer}, {"number", Type::integer}};
constexpr Table<CommitColumn> commits_table("commits", commit_columns, {CommitColumn::one},
                                            Rows::numbered);

std::string mark_of(const std::string& path) { return path + "-commits"; }

Result<std::int64_t> stored_commits(Connection& connection) {
  THAW_TRY(const std::int64_t counts,
           connection.number("SELECT count(*) FROM sqlite_master WHERE name = 'commits'"));
  return counts == 0 ? Result<std::int64_t>(std::int64_t{0})
                     : connection.number("SELECT number FROM commits WHERE one = 1");
}

// By a connection that changes nothing: what is missing may still be put back.
Result<void> check_commits(const DatabaseOptions& options) {
  const auto noted = CommitMark::read(mark_of(options.path));
  if (!noted) {
    return ok();
  }
  THAW_TRY(const auto reader, open_reader(options));
  THAW_TRY(const std::int64_t stored, stored_commits(*reader));
  if (stored >= *noted) {
    return ok();
  }
  const std::string what = std::to_string(*noted - stored) +
                           " commits that were acknowledged are not in " + options.path;
  if (options.loss == DatabaseOptions::Loss::accept) {
    log_error("acknowledged commits are lost", {{"database", options.path}, {"what", what}});
    return ok();
  }
  return Error::data_loss(
      what +
      ": its -wal file was removed or damaged, or an older copy was put in its place; put back "
      "both files as they were, or start once with --accept-loss to go on with what is left");
}

}  // namespace

std::vector<Step> steps_of_store() {
  std::vector<Step> steps = steps_of_set_aside();
  steps.emplace_back(
      AddTable{.name = "commits",
               .columns = {{"one", Type::integer, Nulls::yes, {}, 1}, {"number", Type::integer}},
               .key = {"one"}});
  steps.emplace_back(Rewrite{[](Transaction& transaction) {
    return transaction.insert(commits_table, {{CommitColumn::one, 1}, {CommitColumn::number, 0}});
  }});
  return steps;
}

Result<Commits> count_commits(Connection& writer, const DatabaseOptions& options) {
  Commits commits;
  if (options.sync != DatabaseOptions::Sync::full) {
    return commits;
  }
  THAW_TRY(commits.last, stored_commits(writer));
  commits.counted = true;
  if (auto mark = CommitMark::open(mark_of(options.path))) {
    commits.mark = std::move(*mark);
    commits.mark.note(commits.last);
  } else {
    log_warning("commits are not noted", {{"error", mark.error().to_string()}});
  }
  return commits;
}

Result<std::unique_ptr<Connection>> open_database(const DatabaseOptions& options) {
  const std::string& path = options.path;
  remove_with_journals(path + ".new");
  if (!exists(path)) {
    if (file_size(path + "-wal") > 0) {
      return damaged(path, "it is missing, but its -wal file is there");
    }
    if (const auto noted = CommitMark::read(mark_of(path));
        noted && options.loss == DatabaseOptions::Loss::refuse) {
      return damaged(path, "it is missing, but " + mark_of(path) + " tells of it");
    }
    THAW_TRY_VOID(make_new(path));
  }
  THAW_TRY_VOID(check_header(path));
  if (options.sync == DatabaseOptions::Sync::full) {
    THAW_TRY_VOID(check_wal(path + "-wal"));
    THAW_TRY_VOID(check_commits(options));
  }
  THAW_TRY(auto connection, Connection::open(path, Connection::Mode::write));
  THAW_TRY_VOID(configure(*connection, options.sync));
  THAW_TRY_VOID(connection->script("PRAGMA journal_mode = WAL;"));
  // A full disk may have no room for the copy; the database works without it.
  if (const auto moved = connection->script("PRAGMA wal_checkpoint(TRUNCATE)"); !moved) {
    if (moved.error().code() != Code::resource_exhausted) {
      return moved.error();
    }
    log_warning("the disk is full", {{"database", path}, {"error", moved.error().message()}});
  }
  THAW_TRY_VOID(check_content(*connection, path));
  THAW_TRY_VOID(migrate(*connection, options));
  return connection;
}

Result<std::unique_ptr<Connection>> open_reader(const DatabaseOptions& options) {
  THAW_TRY(auto connection, Connection::open(options.path, Connection::Mode::read));
  THAW_TRY_VOID(
      connection->script("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY;"
                         "PRAGMA cache_size = -8000; PRAGMA trusted_schema = OFF;"));
  return connection;
}

}  // namespace thaw::store::detail
