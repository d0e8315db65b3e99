// SPDX-License-Identifier: Apache-2.0
// Data folders of earlier releases: their tables as they were made then, with rows of then. They
// are opened, and everything is there and runs.
#include <doctest/doctest.h>

#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::queue;
using model::OutcomeKind;

namespace {

// Never changed: it is what is on the disks.
constexpr const char* first_tables = R"sql(
    CREATE TABLE calls (
      id TEXT PRIMARY KEY, workspace TEXT NOT NULL, app TEXT NOT NULL, function TEXT NOT NULL,
      max_retries INTEGER NOT NULL, initial_delay_us INTEGER NOT NULL,
      max_delay_us INTEGER NOT NULL, backoff REAL NOT NULL, parent_input TEXT NOT NULL,
      options BLOB NOT NULL, created_us INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0,
      finished_us INTEGER);
    CREATE INDEX calls_unfinished ON calls (id) WHERE finished_us IS NULL;
    CREATE INDEX calls_finished ON calls (finished_us) WHERE finished_us IS NOT NULL;
    CREATE TABLE inputs (
      id TEXT PRIMARY KEY, call TEXT NOT NULL, idx INTEGER NOT NULL, payload BLOB,
      checksum TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
      retries INTEGER NOT NULL DEFAULT 0, enqueued_us INTEGER NOT NULL,
      ended INTEGER NOT NULL DEFAULT 0, UNIQUE (call, idx));
    CREATE INDEX inputs_unfinished ON inputs (call) WHERE ended = 0;
    CREATE TABLE call_log (
      call TEXT NOT NULL, number INTEGER NOT NULL, kind INTEGER NOT NULL, input TEXT NOT NULL,
      idx INTEGER NOT NULL, attempts INTEGER NOT NULL, outcome INTEGER NOT NULL,
      container TEXT NOT NULL, payload BLOB NOT NULL, checksum TEXT NOT NULL,
      PRIMARY KEY (call, number));
  )sql";

// Written by the first release: fc-done has a result, a piece before it and a cancelled input;
// fc-waits has an input that was delivered once and one that was not; fc-empty has none. The
// checksums are the first 16 digits of the payload's SHA-256. The times are of 2030.
constexpr const char* first_rows[] = {
    "INSERT INTO calls VALUES ('fc-done', 'ac-1', 'ap-1', 'fu-1', 0, 1000000, 60000000, 2.0, '', "
    "x'322034', 1893456000000000, 1, 1893456001000000)",
    "INSERT INTO calls VALUES ('fc-waits', 'ac-1', 'ap-1', 'fu-1', 3, 1000, 2000000, 1.5, "
    "'in-parent', x'', 1893456002000000, 0, NULL)",
    "INSERT INTO calls VALUES ('fc-empty', 'ac-2', 'ap-1', 'fu-2', 0, 1000000, 60000000, 2.0, '', "
    "x'', 1893456003000000, 0, 1893456003000000)",
    "INSERT INTO inputs VALUES ('in-1', 'fc-done', 0, NULL, 'ca978112ca1bbdca', 1, 0, "
    "1893456000000000, 1)",
    "INSERT INTO inputs VALUES ('in-2', 'fc-done', 1, NULL, '3e23e8160039594a', 0, 0, "
    "1893456000000000, 1)",
    "INSERT INTO inputs VALUES ('in-3', 'fc-waits', 0, x'61', 'ca978112ca1bbdca', 1, 0, "
    "1893456002000000, 0)",
    "INSERT INTO inputs VALUES ('in-4', 'fc-waits', 1, x'62', '3e23e8160039594a', 0, 0, "
    "1893456002000000, 0)",
    "INSERT INTO call_log VALUES ('fc-done', 1, 1, 'in-1', 0, 1, 0, 'ta-1', x'61', "
    "'ca978112ca1bbdca')",
    "INSERT INTO call_log VALUES ('fc-done', 2, 5, 'in-1', 0, 1, 0, 'ta-1', x'62', "
    "'3e23e8160039594a')",
    "INSERT INTO call_log VALUES ('fc-done', 3, 5, 'in-2', 1, 0, 3, '', x'', 'e3b0c44298fc1c14')",
};

void write_first_release(Fixture& f) {
  f.queue.reset();
  f.database.reset();
  store::DatabaseOptions options;
  options.path = f.folder / "old.db";
  auto database = store::Database::open(f.loop, options);
  REQUIRE(database);
  const auto body = [](store::Database& to) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::make_as_of(transaction, "queue", 1, first_tables));
      for (const char* row : first_rows) {
        THAW_TRY_VOID(store::testing::sql_of(transaction).run(row, {}));
      }
      return ok();
    };
    co_return co_await to.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(body(**database)));
}

}  // namespace

TEST_CASE("a data folder of the first release is opened, and everything is there and runs") {
  Fixture f;
  write_first_release(f);
  f.file = "old.db";
  f.open();
  for (int round = 0; round < 2; ++round) {
    const auto done = f.read("fc-done", 0);
    REQUIRE(done.size() == 3);
    CHECK(done[0].payload.bytes == "a");
    CHECK(done[0].kind == model::LogEntry::Kind::chunk);
    CHECK(done[1].payload.bytes == "b");
    CHECK(done[1].payload.content_type.empty());
    CHECK(done[1].outcome == OutcomeKind::success);
    CHECK(!done[1].failure);
    CHECK(done[2].outcome == OutcomeKind::terminated);
    REQUIRE(done[2].failure);
    CHECK(done[2].failure->type == model::failure_type::cancelled);
    f.reopen();
  }
  const auto info = f.loop.run_task(f.queue->info(f.id("fc-done")));
  REQUIRE(info);
  CHECK(info->call.options == "2 4");
  CHECK(info->call.workspace.str() == "ac-1");
  CHECK(info->call.version.empty());
  CHECK(f.read("fc-done", 0)[1].version.empty());
  CHECK(info->cancelled);
  CHECK(info->unfinished == 0);
  const auto leases = f.queue->lease(f.function, f.container("ta-2"), 10);
  REQUIRE(leases.size() == 2);
  CHECK(payloads(leases) == "ab");
  CHECK(leases[0].attempt == 2);
  f.complete(leases[0].input, "ta-2", OutcomeKind::success, "ran");
  f.complete(leases[1].input, "ta-2", OutcomeKind::success, "ran too");
  f.reopen();
  CHECK(payloads(f.read("fc-waits", 0)) == "ranran too");
  CHECK(f.loop.run_task(f.queue->info(f.id("fc-empty"))));
  // An index that came then is still one input.
  CHECK(f.add("fc-waits", {{1, {"b"}}}).front().str() == "in-4");
}

TEST_CASE("a data folder of before callbacks is opened, and its calls and new callbacks run") {
  Fixture f;
  f.queue.reset();
  f.database.reset();
  store::DatabaseOptions options;
  options.path = f.folder / "before.db";
  for (const store::Migration& step : migrations()) {
    if (step.version <= 6) {
      options.migrations.push_back(step);
    }
  }
  {
    auto database = store::Database::open(f.loop, options);
    REQUIRE(database);
    const auto body = [](store::Database& to) -> async::Task<void> {
      std::function<Result<void>(store::Transaction&)> work =
          [](store::Transaction& transaction) -> Result<void> {
        THAW_TRY_VOID(
            store::testing::sql_of(transaction)
                .run("INSERT INTO calls (id, workspace, app, function, max_retries, "
                     "initial_delay_us, "
                     "max_delay_us, backoff, parent_input, options, created_us) VALUES ('fc-old', "
                     "'ac-1', "
                     "'ap-1', 'fu-1', 0, 1000000, 60000000, 2.0, '', x'', 1893456000000000)",
                     {}));
        THAW_TRY_VOID(
            store::testing::sql_of(transaction)
                .run("INSERT INTO inputs (id, call, idx, payload, checksum, enqueued_us) VALUES "
                     "('in-1', 'fc-old', 0, x'61', 'ca978112ca1bbdca', 1893456000000000)",
                     {}));
        return ok();
      };
      co_return co_await to.write<void>(std::move(work));
    };
    REQUIRE(f.loop.run_task(body(**database)));
  }
  f.file = "before.db";
  f.open();
  CHECK(f.loop.run_task(f.queue->callbacks().of(f.id("fc-old")))->empty());
  model::NewCall call = f.call("fc-new", model::Durability::durable);
  call.workspace = model::WorkspaceId("ac-1");
  model::Callback callback;
  callback.sink = "http://hooks/x";
  callback.receiver = "http://hooks:80";
  call.callbacks = {callback};
  f.create(std::move(call), {"b"});
  const auto leases = f.queue->lease(f.function, f.container("ta-1"), 10);
  REQUIRE(leases.size() == 2);
  for (const LeasedInput& lease : leases) {
    f.complete(lease.input, "ta-1", OutcomeKind::success, "ran " + lease.payload.bytes);
  }
  f.reopen();
  CHECK(payloads(f.read("fc-old", 0)) == "ran a");
  const CallbackLane lane{model::WorkspaceId("ac-1"), "http://hooks:80"};
  const auto due = f.loop.run_task(f.queue->callbacks().due(lane, wall_now() + 1s, 10));
  REQUIRE(due);
  CHECK(due->size() == 1);
}
