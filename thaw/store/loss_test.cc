// SPDX-License-Identifier: Apache-2.0
// Commits that were acknowledged are not lost without a word, and nobody but the writer can write.
#include <doctest/doctest.h>

#include <filesystem>

#include "thaw/store/database.h"
#include "thaw/store/detail/open_database.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::store;
namespace fs = std::filesystem;

namespace {

DatabaseOptions options_in(const TempFolder& folder) {
  DatabaseOptions options;
  options.path = folder / "t.db";
  options.migrations = {{"test",
                         1,
                         {AddTable{.name = "t",
                                   .columns = {{"k", Type::integer, Nulls::yes}, {"v", Type::text}},
                                   .key = {"k"}}}}};
  return options;
}

using Work = std::function<Result<void>(Transaction&)>;

async::Task<void> insert(Database& database, std::int64_t key) {
  Work work = [key](Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(testing::sql_of(transaction)
                      .run("INSERT INTO t VALUES (?, ?)", {key, std::string(3000, 'x')}));
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

std::int64_t rows_in(Database& database) {
  std::int64_t rows = -1;
  CHECK(database.read_now([&rows](Transaction& transaction) {
    return testing::sql_of(transaction)
        .each("SELECT count(*) FROM t", {},
              [&](const testing::SqlRow& row) { rows = row.integer(0); });
  }));
  return rows;
}

// The files of a server that was killed after `count` commits.
void make_killed(const TempFolder& folder, std::int64_t count) {
  const TempFolder living;
  async::Loop loop;
  auto database = Database::open(loop, options_in(living));
  REQUIRE(database);
  for (std::int64_t key = 0; key < count; ++key) {
    REQUIRE(loop.run_task(insert(**database, key)));
  }
  for (const char* name : {"t.db", "t.db-wal", "t.db-commits"}) {
    REQUIRE(fs::copy_file(living / name, folder / name));
  }
}

}  // namespace

TEST_CASE("a write-ahead log that was removed or damaged at its head is told, not overlooked") {
  for (const int damage : {0, 1, 2, 3}) {
    CAPTURE(damage);
    const TempFolder folder;
    make_killed(folder, 20);
    const std::string wal = folder / "t.db-wal";
    switch (damage) {
      case 0: fs::remove(wal); break;
      case 1: overwrite(wal, 0, std::string(32, '\0')); break;
      case 2: shorten(wal, 0); break;
      default: shorten(wal, static_cast<off_t>(fs::file_size(wal) / 2)); break;
    }
    const auto size = fs::exists(wal) ? fs::file_size(wal) : 0;
    async::Loop loop;
    DatabaseOptions options = options_in(folder);
    {
      const auto refused = Database::open(loop, options);
      REQUIRE_FALSE(refused);
      CHECK(refused.error().code() == Code::data_loss);
      CHECK(refused.error().message().find("acknowledged") != std::string::npos);
      CHECK(refused.error().message().find("--accept-loss") != std::string::npos);
    }
    // Nothing was touched: what is missing may still be put back.
    CHECK((fs::exists(wal) ? fs::file_size(wal) : 0) == size);
    options.loss = DatabaseOptions::Loss::accept;
    {
      auto accepted = Database::open(loop, options);
      REQUIRE(accepted);
      CHECK(rows_in(**accepted) < 20);
      REQUIRE(loop.run_task(insert(**accepted, 100)));
      (*accepted)->close();
    }
    options.loss = DatabaseOptions::Loss::refuse;
    CHECK(Database::open(loop, options));
  }
}

TEST_CASE("after a kill, a clean stop and without a mark a database is opened as ever") {
  const TempFolder folder;
  make_killed(folder, 20);
  async::Loop loop;
  for (const int round : {0, 1, 2}) {
    CAPTURE(round);
    if (round == 1) {
      fs::remove(folder / "t.db-commits");
    }
    if (round == 2) {
      overwrite(folder / "t.db-commits", 0, "garbage");
    }
    auto database = Database::open(loop, options_in(folder));
    REQUIRE(database);
    CHECK(rows_in(**database) == 20 + round);
    REQUIRE(loop.run_task(insert(**database, 1000 + round)));
    (*database)->close();
  }
}

TEST_CASE("a database that is gone though it had commits is not made anew in silence") {
  const TempFolder folder;
  make_killed(folder, 3);
  fs::remove(folder / "t.db");
  fs::remove(folder / "t.db-wal");
  async::Loop loop;
  CHECK(Database::open(loop, options_in(folder)).error().code() == Code::data_loss);
}

TEST_CASE("only one connection may write or checkpoint, also when a reader is closed last") {
  const TempFolder folder;
  const DatabaseOptions options = options_in(folder);
  async::Loop loop;
  auto database = Database::open(loop, options);
  REQUIRE(database);
  REQUIRE(loop.run_task(insert(**database, 1)));
  // The file is open for writing once, whatever the number of readers.
  int writers = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code error;
    if (fs::read_symlink(entry.path(), error) == folder / "t.db") {
      const auto permissions = fs::symlink_status(entry.path(), error).permissions();
      writers += (permissions & fs::perms::owner_write) != fs::perms::none ? 1 : 0;
    }
  }
  CHECK(writers == 1);
  auto reader = store::detail::open_reader(options);
  REQUIRE(reader);
  const auto wal_size = fs::file_size(folder / "t.db-wal");
  CHECK(wal_size > 0);
  CHECK_FALSE((*reader)->run("INSERT INTO t VALUES (2, 'x')", {}));
  (void)(*reader)->script("PRAGMA query_only = OFF");
  CHECK_FALSE((*reader)->run("INSERT INTO t VALUES (2, 'x')", {}));
  (void)(*reader)->script("PRAGMA wal_checkpoint(TRUNCATE)");
  CHECK(fs::file_size(folder / "t.db-wal") == wal_size);
  // The writer is not the last one, so it leaves the log; so does the reader.
  CHECK((*reader)->number("SELECT count(*) FROM t").value() == 1);
  (*database)->close();
  const auto left = fs::exists(folder / "t.db-wal") ? fs::file_size(folder / "t.db-wal") : 0;
  (*reader).reset();
  CHECK((fs::exists(folder / "t.db-wal") ? fs::file_size(folder / "t.db-wal") : 0) == left);
  auto again = Database::open(loop, options);
  REQUIRE(again);
  CHECK(rows_in(**again) == 1);
}

enum class T { k, v };
constexpr Column columns[] = {{"k", Type::integer}, {"v", Type::text}};
constexpr Table<T> table("t", columns, {T::k}, Rows::numbered);

TEST_CASE("what is set aside is bounded, and the newest stays") {
  const TempFolder folder;
  async::Loop loop;
  auto database = Database::open(loop, options_in(folder));
  REQUIRE(database);
  const auto fill = [](Database& db) -> async::Task<std::int64_t> {
    std::function<Result<std::int64_t>(Transaction&)> work =
        [](Transaction& transaction) -> Result<std::int64_t> {
      THAW_TRY_VOID(
          testing::sql_of(transaction)
              .run(
                  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
                  "INSERT INTO t SELECT i, 'v' || i FROM n",
                  {}));
      THAW_TRY_VOID(
          set_aside_orphans(transaction, table, number_of_column(T::v), table, "all", "why"));
      THAW_TRY(const auto counts, count_set_aside(transaction));
      return counts.at("t");
    };
    co_return co_await db.write<std::int64_t>(std::move(work));
  };
  CHECK(loop.run_task(fill(**database)).value() == 10'000);
  CHECK(rows_in(**database) == 0);
  std::string last;
  REQUIRE((*database)->read_now([&last](Transaction& transaction) {
    return testing::sql_of(transaction)
        .each("SELECT content FROM set_aside ORDER BY n DESC LIMIT 1", {},
              [&last](const testing::SqlRow& row) { last = row.text(0); });
  }));
  CHECK(last == "k=12000, v='v12000'");
}
