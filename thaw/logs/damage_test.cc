// SPDX-License-Identifier: Apache-2.0
// Whatever is wrong with a row of the logs, they open, take lines and give them back.
#include <doctest/doctest.h>

#include <limits>
#include <random>

#include "thaw/async/task_group.h"
#include "thaw/logs/log_hub.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::logs;

namespace {

struct Fixture {
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<LogHub> hub;

  Fixture() { open(); }
  void open() {
    hub.reset();
    database.reset();
    store::DatabaseOptions options;
    options.path = folder / "logs.db";
    options.migrations = migrations();
    options.sync = store::DatabaseOptions::Sync::normal;
    database = std::move(*store::Database::open(loop, options));
    auto opened = LogHub::open(loop, *database, {});
    REQUIRE(opened);
    hub = std::move(*opened);
  }
  void append(const std::string& stream, const std::string& text) {
    Line line;
    line.text = text;
    hub->append(stream, std::move(line));
  }
  std::string last_line(const std::string& stream) {
    Query query;
    query.order = Query::Order::newest_first;
    const auto lines = loop.run_task(hub->find(stream, query));
    return lines && !lines->empty() ? lines->front().text : "";
  }
};

struct Column {
  const char* table;
  const char* name;
};
constexpr Column columns[] = {
    {"streams", "id"},    {"streams", "name"}, {"streams", "last_number"}, {"streams", "ended"},
    {"streams", "bytes"}, {"lines", "stream"}, {"lines", "number"},        {"lines", "time_us"},
    {"lines", "channel"}, {"lines", "text"},   {"lines", "container"},
};

store::testing::SqlValue strange(std::mt19937& random) {
  switch (random() % 8) {
    case 0: return std::int64_t{-1};
    case 1: return std::int64_t{0};
    case 2: return std::numeric_limits<std::int64_t>::max();
    case 3: return 1e300;
    case 4: return std::string("strange");
    case 5: return std::string();
    case 6: return store::testing::SqlBlob{std::string("\0\xff", 2)};
    default: return std::int64_t{2};
  }
}

async::Task<void> damage(store::Database& database, unsigned seed) {
  std::function<Result<void>(store::Transaction&)> work =
      [seed](store::Transaction& transaction) -> Result<void> {
    std::mt19937 random(seed);
    const Column column = columns[random() % std::size(columns)];
    const std::string table = column.table;
    [[maybe_unused]] const auto done =
        random() % 5 == 0 ? store::testing::sql_of(transaction).run("DELETE FROM " + table, {})
                          : store::testing::sql_of(transaction)
                                .run("UPDATE OR IGNORE " + table + " SET " + column.name + " = ?",
                                     {strange(random)});
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

}  // namespace

TEST_CASE("whatever is wrong with the stored logs, new lines are kept and found") {
  for (unsigned seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    Fixture f;
    for (const char* stream : {"ap-1", "ap-2"}) {
      for (int i = 0; i < 5; ++i) {
        f.append(stream, "line " + std::to_string(i) + "\n");
      }
      CHECK(f.last_line(stream) == "line 4\n");
    }
    REQUIRE(f.loop.run_task(damage(*f.database, seed)));
    f.open();
    for (const char* stream : {"ap-1", "ap-2", "ap-new"}) {
      (void)f.loop.run_task(f.hub->follow(stream, 0, 100, monotonic_now()));
      f.append(stream, "after\n");
      CHECK(f.last_line(stream) == "after\n");
    }
    f.open();
    CHECK(f.last_line("ap-new") == "after\n");
  }
}

TEST_CASE("a stream that is erased is gone from memory and disk, but not while it is followed") {
  Fixture f;
  f.append("ap-1", "one\n");
  f.append("ap-2", "two\n");
  CHECK(f.last_line("ap-1") == "one\n");
  CHECK(f.last_line("ap-2") == "two\n");
  {
    async::TaskGroup group(f.loop);
    const auto body = [](Fixture& fixture, async::TaskGroup& tasks) -> async::Task<void> {
      const auto follow = [](Fixture& at) -> async::Task<void> {
        (void)co_await at.hub->follow("ap-1", 1, 10, Instant::max());
        co_return ok();
      };
      tasks.start("follow", follow(fixture));
      const auto refused = co_await fixture.hub->erase("ap-1");
      CHECK(refused.error().code() == Code::failed_precondition);
      co_return co_await tasks.stop();
    };
    REQUIRE(f.loop.run_task(body(f, group)));
  }
  REQUIRE(f.loop.run_task(f.hub->erase("ap-1")));
  CHECK(f.hub->streams() == std::vector<std::string>{"ap-2"});
  f.open();
  CHECK(f.hub->streams() == std::vector<std::string>{"ap-2"});
  CHECK(f.last_line("ap-2") == "two\n");
  CHECK(f.last_line("ap-1").empty());
  // It may live again.
  f.append("ap-1", "again\n");
  CHECK(f.last_line("ap-1") == "again\n");
}
