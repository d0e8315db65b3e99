// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/database.h"

#include <doctest/doctest.h>
#include <sqlite3.h>

#include <filesystem>
#include <stdexcept>

#include "thaw/async/task_group.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::store;

namespace {

AddTable table_t() {
  return {
      .name = "t", .columns = {{"k", Type::integer, Nulls::yes}, {"v", Type::text}}, .key = {"k"}};
}
AddTable table_named(std::string name) {
  return {.name = std::move(name), .columns = {{"k", Type::integer}}, .key = {"k"}};
}

DatabaseOptions with_table(const TempFolder& folder) {
  DatabaseOptions options;
  options.path = folder / "t.db";
  options.migrations = {{"test", 1, {table_t()}}};
  return options;
}

using Work = std::function<Result<void>(Transaction&)>;

Work insert(std::int64_t key, std::string value) {
  return [key, value = std::move(value)](Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(testing::sql_of(transaction).run("INSERT INTO t VALUES (?, ?)", {key, value}));
    return ok();
  };
}

std::int64_t count(Database& database) {
  std::int64_t rows = -1;
  const auto read = database.read_now([&rows](Transaction& transaction) {
    return testing::sql_of(transaction)
        .each("SELECT count(*) FROM t", {},
              [&](const testing::SqlRow& row) { rows = row.integer(0); });
  });
  CHECK(read);
  return rows;
}

std::unique_ptr<Database> reopen(async::Loop& loop, const TempFolder& folder) {
  auto database = Database::open(loop, with_table(folder));
  REQUIRE_MESSAGE(database, (database ? "" : database.error().to_string()));
  return std::move(*database);
}

Code code_of_open(const DatabaseOptions& options) {
  async::Loop loop;
  const auto database = Database::open(loop, options);
  return database ? Code::ok : database.error().code();
}

void make_filled(const TempFolder& folder, std::int64_t rows) {
  async::Loop loop;
  auto database = reopen(loop, folder);
  for (std::int64_t i = 0; i < rows; ++i) {
    database->write_later(insert(i, std::string(500, 'x')));
  }
  database->close();
}

}  // namespace

TEST_CASE("what was written is there after the database is opened again") {
  TempFolder folder;
  async::Loop loop;
  {
    auto database = reopen(loop, folder);
    const auto body = [](Database& db) -> async::Task<std::string> {
      Work work = insert(7, std::string("a\0b", 3));
      THAW_CO_TRY_VOID(co_await db.write<void>(std::move(work)));
      std::function<Result<std::string>(Transaction&)> query =
          [](Transaction& transaction) -> Result<std::string> {
        std::string value;
        THAW_TRY_VOID(testing::sql_of(transaction)
                          .each("SELECT v FROM t WHERE k = ?", {std::int64_t{7}},
                                [&value](const testing::SqlRow& row) { value = row.text(0); }));
        return value;
      };
      co_return co_await db.read<std::string>(std::move(query));
    };
    CHECK(*loop.run_task(body(*database)) == std::string("a\0b", 3));
  }
  CHECK(count(*reopen(loop, folder)) == 1);
}

TEST_CASE("every kind of value comes back as it was") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  const auto body = [](Database& db) -> async::Task<void> {
    Work work = [](Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(testing::sql_of(transaction).run("CREATE TABLE kinds (a, b, c, d, e, f)", {}));
      THAW_TRY_VOID(
          testing::sql_of(transaction)
              .run("INSERT INTO kinds VALUES (?, ?, ?, ?, ?, ?)",
                   {std::int64_t{-5}, 0.5, std::string("ä"),
                    testing::SqlBlob{std::string("\0\xff", 2)}, nullptr, testing::SqlBlob{""}}));
      return testing::sql_of(transaction)
          .each("SELECT * FROM kinds", {}, [](const testing::SqlRow& row) {
            CHECK(row.integer(0) == -5);
            CHECK(row.real(1) == 0.5);
            CHECK(row.text(2) == "ä");
            CHECK(row.text(3) == std::string("\0\xff", 2));
            CHECK(row.is_null(4));
            CHECK_FALSE(row.is_null(5));
            CHECK(row.text(5).empty());
          });
    };
    co_return co_await db.write<void>(std::move(work));
  };
  CHECK(loop.run_task(body(*database)));
}

TEST_CASE("an error or an exception undoes its own write and no other of the group") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  async::TaskGroup tasks(loop);
  std::vector<std::string> seen(20);
  const auto one = [](Database& db, std::int64_t i, std::string& out) -> async::Task<void> {
    Work work = [i](Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(insert(i, "first half")(transaction));
      if (i % 4 == 1) {
        return Error::failed_precondition("changed my mind");
      }
      if (i % 4 == 2) {
        throw std::runtime_error("thrown");
      }
      return i % 4 == 3 ? insert(0, "taken")(transaction) : ok();
    };
    const auto result = co_await db.write<void>(std::move(work));
    out = result ? "ok" : std::string(code_name(result.error().code()));
    co_return ok();
  };
  for (std::int64_t i = 0; i < 20; ++i) {
    tasks.start("write", one(*database, i, seen[static_cast<std::size_t>(i)]));
  }
  REQUIRE(*loop.run_task(tasks.join(monotonic_now() + 30s)));
  const std::string expected[] = {"ok", "failed_precondition", "internal", "already_exists"};
  for (std::size_t i = 0; i < 20; ++i) {
    CHECK(seen[i] == expected[i % 4]);
  }
  CHECK(count(*database) == 5);
}

TEST_CASE("writes are made in the order in which they were asked for") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  for (std::int64_t i = 0; i < 1000; ++i) {
    database->write_later([i](Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(
          testing::sql_of(transaction).run("INSERT INTO t SELECT ?, count(*) FROM t", {i}));
      return ok();
    });
  }
  database->close();
  auto again = reopen(loop, folder);
  std::int64_t wrong = -1;
  REQUIRE(again->read_now([&wrong](Transaction& transaction) {
    return testing::sql_of(transaction)
        .each("SELECT count(*) FROM t WHERE k != CAST(v AS INTEGER)", {},
              [&](const testing::SqlRow& row) { wrong = row.integer(0); });
  }));
  CHECK(wrong == 0);
  CHECK(count(*again) == 1000);
}

TEST_CASE("a cancelled task still learns how its write ended") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  async::TaskGroup tasks(loop);
  bool written = false;
  const auto one = [](Database& db, bool& out) -> async::Task<void> {
    Work work = insert(1, "x");
    out = (co_await db.write<void>(std::move(work))).has_value();
    co_return ok();
  };
  auto handle = tasks.start("write", one(*database, written));
  const auto body = [](async::TaskGroup::Handle h, async::TaskGroup& group) -> async::Task<bool> {
    THAW_CO_TRY_VOID(co_await async::yield());
    h.cancel();
    co_return co_await group.join(monotonic_now() + 30s);
  };
  CHECK(*loop.run_task(body(handle, tasks)));
  CHECK(written);
  CHECK(count(*database) == 1);
}

TEST_CASE("writes past the limit of the queue are refused, not kept") {
  TempFolder folder;
  async::Loop loop;
  DatabaseOptions options = with_table(folder);
  options.queue_limit = 2;
  auto database = Database::open(loop, options);
  REQUIRE(database);
  for (int i = 0; i < 5; ++i) {
    (*database)->write_later(insert(i, "x"));
  }
  const auto body = [](Database& db) -> async::Task<void> {
    Work work = insert(9, "x");
    co_return co_await db.write<void>(std::move(work));
  };
  const auto outcome = loop.run_task(body(**database));
  // The loop may have taken the first two already; what counts is that three of five are gone.
  (*database)->close();
  auto again = reopen(loop, folder);
  CHECK(count(*again) == (outcome ? 3 : 2));
}

TEST_CASE("a read sees one moment, and more reads than connections wait their turn") {
  TempFolder folder;
  make_filled(folder, 20);
  async::Loop loop;
  auto database = reopen(loop, folder);
  async::TaskGroup tasks(loop);
  int good = 0;
  const auto one = [](Database& db, int& out) -> async::Task<void> {
    std::function<Result<bool>(Transaction&)> work = [](Transaction& transaction) -> Result<bool> {
      std::int64_t counts[2] = {};
      for (std::int64_t& rows : counts) {
        THAW_TRY_VOID(testing::sql_of(transaction)
                          .each("SELECT count(*) FROM t", {},
                                [&rows](const testing::SqlRow& row) { rows = row.integer(0); }));
      }
      return counts[0] == counts[1] && counts[0] >= 20;
    };
    THAW_CO_TRY(const bool same, co_await db.read<bool>(std::move(work)));
    out += same ? 1 : 0;
    co_return ok();
  };
  for (int i = 0; i < 50; ++i) {
    tasks.start("read", one(*database, good));
    database->write_later(insert(1000 + i, "x"));
  }
  CHECK(*loop.run_task(tasks.join(monotonic_now() + 30s)));
  CHECK(good == 50);
}

TEST_CASE("memory that only saves reading again is given back, beside reads and writes") {
  constexpr int rows = 9'000;  // of 500 bytes
  TempFolder folder;
  make_filled(folder, rows);
  async::Loop loop;
  auto database = reopen(loop, folder);
  async::TaskGroup tasks(loop);
  const auto read_all = [](Database& db) -> async::Task<void> {
    std::function<Result<std::int64_t>(Transaction&)> work =
        [](Transaction& transaction) -> Result<std::int64_t> {
      std::int64_t bytes = 0;
      THAW_TRY_VOID(testing::sql_of(transaction)
                        .each("SELECT sum(length(v)) FROM t", {},
                              [&bytes](const testing::SqlRow& row) { bytes = row.integer(0); }));
      return bytes;
    };
    THAW_CO_TRY(const std::int64_t bytes, co_await db.read<std::int64_t>(std::move(work)));
    CHECK(bytes >= rows * 500);
    co_return ok();
  };
  REQUIRE(loop.run_task(read_all(*database)));
  const std::int64_t before = sqlite3_memory_used();
  REQUIRE(loop.run_task(database->release_memory()));
  CHECK(sqlite3_memory_used() < before - (3 << 20));

  for (int i = 0; i < 20; ++i) {
    tasks.start("read", read_all(*database));
    tasks.start("release", database->release_memory());
    database->write_later(insert(rows + i, "x"));
  }
  CHECK(*loop.run_task(tasks.join(monotonic_now() + 60s)));
  CHECK(count(*database) == rows + 20);
  database->close();
  CHECK(loop.run_task(database->release_memory()));
}

TEST_CASE("a read cannot write") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  CHECK_FALSE(database->read_now(insert(1, "x")));
  CHECK(count(*database) == 0);
}

TEST_CASE("statements with values missing, or two in one text, are refused") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  CHECK_FALSE(database->read_now([](Transaction& transaction) {
    return testing::sql_of(transaction).each("SELECT ? + ?", {std::int64_t{1}}, nullptr);
  }));
  CHECK_FALSE(database->read_now([](Transaction& transaction) {
    return testing::sql_of(transaction).each("SELECT 1; SELECT 2", {}, nullptr);
  }));
  CHECK_FALSE(database->read_now(
      [](Transaction& transaction) { return testing::sql_of(transaction).each("", {}, nullptr); }));
}

TEST_CASE("a statement may be used inside its own rows, and many texts do not pile up") {
  TempFolder folder;
  make_filled(folder, 3);
  async::Loop loop;
  auto database = reopen(loop, folder);
  int visited = 0;
  CHECK(database->read_now([&visited](Transaction& transaction) -> Result<void> {
    const char* query = "SELECT k FROM t";
    THAW_TRY_VOID(testing::sql_of(transaction).each(query, {}, [&](const testing::SqlRow&) {
      CHECK(testing::sql_of(transaction).each(query, {}, [&visited](const testing::SqlRow&) {
        ++visited;
      }));
    }));
    for (int i = 0; i < 1000; ++i) {
      THAW_TRY_VOID(testing::sql_of(transaction).each("SELECT " + std::to_string(i), {}, nullptr));
    }
    return ok();
  }));
  CHECK(visited == 9);
}

TEST_CASE("each migration runs once, and a newer file is refused") {
  TempFolder folder;
  DatabaseOptions options = with_table(folder);
  CHECK(code_of_open(options) == Code::ok);
  options.migrations.push_back({"test", 2, {AddColumn{"t", {"w", Type::text, Nulls::yes}}}});
  options.migrations.push_back({"other", 1, {table_named("o")}});
  CHECK(code_of_open(options) == Code::ok);
  CHECK(code_of_open(options) == Code::ok);
  CHECK(code_of_open(with_table(folder)) == Code::failed_precondition);
}

TEST_CASE("a migration that fails leaves nothing of itself") {
  TempFolder folder;
  DatabaseOptions options = with_table(folder);
  options.migrations.push_back({"test", 2, {table_named("half"), table_named("t")}});
  CHECK(code_of_open(options) != Code::ok);
  options.migrations.back().steps = {table_named("half")};
  CHECK(code_of_open(options) == Code::ok);
}

TEST_CASE("a damaged file is data_loss when it is opened") {
  TempFolder folder;
  make_filled(folder, 2000);
  const std::string path = folder / "t.db";
  const auto size = static_cast<off_t>(std::filesystem::file_size(path));
  REQUIRE(size > 500'000);
  SUBCASE("its beginning is overwritten") { overwrite(path, 0, "not a database at all"); }
  SUBCASE("it is cut to half") { shorten(path, size / 2); }
  SUBCASE("it is one page short") { shorten(path, size - 4096); }
  SUBCASE("it is cut to less than a header") { shorten(path, 50); }
  SUBCASE("it is emptied") { shorten(path, 0); }
  SUBCASE("a page in the middle is overwritten") {
    overwrite(path, size / 8192 * 4096, std::string(4096, '\x5a'));
  }
  SUBCASE("it is gone, but its write-ahead log is there") {
    std::filesystem::rename(path, path + "-wal");
  }
  CHECK(code_of_open(with_table(folder)) == Code::data_loss);
}

TEST_CASE(
    "a write-ahead log that is damaged in the middle is data_loss, one cut short is a crash") {
  TempFolder folder;
  TempFolder copy;
  async::Loop loop;
  auto database = reopen(loop, folder);
  const auto body = [](Database& db) -> async::Task<void> {
    for (std::int64_t i = 0; i < 40; ++i) {
      Work work = insert(i, std::string(500, 'x'));
      THAW_CO_TRY_VOID(co_await db.write<void>(std::move(work)));
    }
    co_return ok();
  };
  REQUIRE(loop.run_task(body(*database)));
  // What the files look like when the process is killed now.
  for (const char* name : {"t.db", "t.db-wal"}) {
    std::filesystem::copy_file(folder / name, copy / name);
  }
  const std::string wal = copy / "t.db-wal";
  const auto size = static_cast<off_t>(std::filesystem::file_size(wal));
  REQUIRE(size > 40 * 4096);
  Code expected = Code::data_loss;
  std::int64_t left = 0;
  SUBCASE("a page in the middle") { overwrite(wal, size / 2, std::string(100, 'Z')); }
  SUBCASE("a page near the beginning") { overwrite(wal, 5 * 4096, "Z"); }
  SUBCASE("a frame's own header") { overwrite(wal, 32 + 10 * (24 + 4096) + 8, "salt"); }
  SUBCASE("nothing") {
    expected = Code::ok;
    left = 40;
  }
  SUBCASE("its end is missing") {
    shorten(wal, size - 2000);
    expected = Code::ok;
    left = 39;
  }
  SUBCASE("the last commit is torn") {
    overwrite(wal, size - 2000, "Z");
    expected = Code::ok;
    left = 39;
  }
  CHECK(code_of_open(with_table(copy)) == expected);
  if (expected == Code::ok) {
    async::Loop other;
    CHECK(count(*reopen(other, copy)) == left);
  }
}

TEST_CASE("somebody else's database is refused, not changed") {
  TempFolder folder;
  const std::string path = folder / "t.db";
  REQUIRE(std::system(("sqlite3 " + path + " 'CREATE TABLE theirs (k)' || true").c_str()) == 0);
  if (std::filesystem::exists(path)) {
    CHECK(code_of_open(with_table(folder)) == Code::failed_precondition);
  }
}

TEST_CASE("damage that is found while the database is in use is data_loss") {
  TempFolder folder;
  make_filled(folder, 2000);
  async::Loop loop;
  auto database = reopen(loop, folder);
  const std::string path = folder / "t.db";
  for (off_t page = 10; page < 60; ++page) {
    overwrite(path, page * 4096, std::string(4096, '\x5a'));
  }
  const auto read = database->read_now([](Transaction& transaction) {
    return testing::sql_of(transaction).each("SELECT sum(length(v)) FROM t", {}, nullptr);
  });
  REQUIRE_FALSE(read);
  CHECK(read.error().code() == Code::data_loss);
  CHECK(read.error().message().find("restore") != std::string::npos);
}

TEST_CASE("a folder that cannot be written is an error that names it") {
  async::Loop loop;
  DatabaseOptions options;
  options.path = "/proc/nowhere/t.db";
  const auto database = Database::open(loop, options);
  REQUIRE_FALSE(database);
  CHECK(database.error().message().find("/proc/nowhere/t.db") != std::string::npos);
}

TEST_CASE("after close() everything is refused") {
  TempFolder folder;
  async::Loop loop;
  auto database = reopen(loop, folder);
  database->close();
  database->close();
  const auto body = [](Database& db) -> async::Task<void> {
    Work work = insert(1, "x");
    co_return co_await db.write<void>(std::move(work));
  };
  const auto outcome = loop.run_task(body(*database));
  REQUIRE_FALSE(outcome);
  CHECK(outcome.error().code() == Code::unavailable);
  CHECK_FALSE(std::filesystem::exists(folder / "t.db-wal"));
}
