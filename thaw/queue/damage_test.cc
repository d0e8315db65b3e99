// SPDX-License-Identifier: Apache-2.0
// Whatever is wrong with a row of the journal, the queue opens and the other calls run.
#include <doctest/doctest.h>

#include <limits>
#include <random>

#include "thaw/queue/queue_fixture_test.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::queue;

namespace {

struct Column {
  const char* table;
  const char* name;
};

constexpr Column columns[] = {
    {"calls", "id"},
    {"calls", "function"},
    {"calls", "max_retries"},
    {"calls", "backoff"},
    {"calls", "max_delay_us"},
    {"calls", "initial_delay_us"},
    {"calls", "created_us"},
    {"calls", "cancelled"},
    {"calls", "finished_us"},
    {"calls", "options"},
    {"inputs", "id"},
    {"inputs", "call"},
    {"inputs", "idx"},
    {"inputs", "payload"},
    {"inputs", "checksum"},
    {"inputs", "attempts"},
    {"inputs", "retries"},
    {"inputs", "enqueued_us"},
    {"inputs", "ended"},
    {"call_log", "number"},
    {"call_log", "kind"},
    {"call_log", "outcome"},
    {"call_log", "payload"},
    {"call_log", "idx"},
    {"call_log", "attempts"},
    {"call_log", "call"},
    {"calls", "origin"},
    {"calls", "log_status"},
    {"calls", "queue_until_us"},
    {"calls", "end_by_us"},
    {"calls", "run_for_us"},
    {"calls", "redeliveries"},
    {"calls", "payload_for_us"},
    {"calls", "record_for_us"},
    {"calls", "payloads_until_us"},
    {"calls", "record_until_us"},
    {"inputs", "content_type"},
    {"inputs", "started_us"},
    {"call_log", "content_type"},
    {"call_log", "at_us"},
    {"call_log", "failure_type"},
    {"call_log", "failure_message"},
    {"call_log", "status"},
    {"call_log", "level"},
    {"call_log", "version"},
};

store::testing::SqlValue strange(std::mt19937& random) {
  switch (random() % 10) {
    case 0: return std::int64_t{-1};
    case 1: return std::int64_t{0};
    case 2: return std::numeric_limits<std::int64_t>::max();
    case 3: return std::numeric_limits<std::int64_t>::min();
    case 4: return 1e300;
    case 5: return std::numeric_limits<double>::infinity();
    case 6: return std::string("strange");
    case 7: return std::string();
    case 8: return store::testing::SqlBlob{std::string("\0\xff", 2)};
    default: return nullptr;
  }
}

// One row, or all of them; a row may also be dropped.
async::Task<void> damage(store::Database& database, unsigned seed) {
  std::function<Result<void>(store::Transaction&)> work =
      [seed](store::Transaction& transaction) -> Result<void> {
    std::mt19937 random(seed);
    const Column column = columns[random() % std::size(columns)];
    const std::string table = column.table;
    const std::string where = random() % 4 == 0
                                  ? ""
                                  : " WHERE rowid = (SELECT rowid FROM " + table +
                                        " LIMIT 1 OFFSET " + std::to_string(random() % 4) + ")";
    // What the table's own rules refuse cannot be there.
    [[maybe_unused]] const auto done =
        random() % 5 == 0
            ? store::testing::sql_of(transaction).run("DELETE FROM " + table + where, {})
            : store::testing::sql_of(transaction)
                  .run("UPDATE OR IGNORE " + table + " SET " + column.name + " = ?" + where,
                       {strange(random)});
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

// Everything that is ready runs; what was finished is read.
async::Task<void> use(Fixture& f) {
  for (int round = 0; round < 20; ++round) {
    bool any = false;
    for (const model::Target& target : f.queue->targets_with_demand()) {
      for (const LeasedInput& input : f.queue->lease(target, Fixture::container("ta-1"), 100)) {
        any = true;
        (void)co_await f.queue->complete(input.input, Fixture::container("ta-1"),
                                         Fixture::success("done"));
      }
    }
    if (!any) {
      break;
    }
  }
  for (const char* name : {"fc-1", "fc-2", "fc-3", "fc-4"}) {
    (void)co_await f.queue->info(Fixture::id(name));
    (void)co_await f.queue->read(Fixture::id(name), 0, 100, monotonic_now(), nullptr);
  }
  co_return co_await f.queue->sweep();
}

void fill(Fixture& f) {
  using enum model::Durability;
  f.create(f.call("fc-1", durable), {"a", "b", "c"});  // finished
  for (const LeasedInput& input : f.queue->lease(f.function, Fixture::container("ta-1"), 10)) {
    REQUIRE(f.loop.run_task(
        f.queue->complete(input.input, Fixture::container("ta-1"), Fixture::success("result"))));
  }
  f.create(f.call("fc-2", durable), {"d", "e"});  // leased when the server dies
  (void)f.queue->lease(f.function, Fixture::container("ta-2"), 1);
  f.create(f.call("fc-3", durable), {"f", "g"});
}

}  // namespace

TEST_CASE("whatever is wrong with the journal, the queue opens and goes on") {
  std::size_t went_on = 0;
  for (unsigned seed = 0; seed < 400; ++seed) {
    CAPTURE(seed);
    Fixture f;
    fill(f);
    for (unsigned i = 0; i <= seed % 3; ++i) {
      REQUIRE(f.loop.run_task(damage(*f.database, seed * 7 + i)));
    }
    f.reopen();
    REQUIRE(f.loop.run_task(use(f)));
    // New calls are taken and run, whatever became of the old ones.
    f.create(f.call("fc-new", model::Durability::durable), {"new"});
    REQUIRE(f.loop.run_task(use(f)));
    const auto entries = f.loop.run_task(
        f.queue->read(Fixture::id("fc-new"), 0, 10, monotonic_now() + 20s, nullptr));
    REQUIRE(entries);
    REQUIRE(entries->size() == 1);
    CHECK(entries->front().payload.bytes == "done");
    ++went_on;
    // What was repaired stays repaired.
    f.reopen();
    CHECK(f.queue->targets_with_demand().empty());
  }
  CHECK(went_on == 400);
}

TEST_CASE("a call whose inputs are gone is finished, and inputs without a call lie aside") {
  Fixture f;
  fill(f);
  const auto drop = [](store::Database& database) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(
          store::testing::sql_of(transaction).run("DELETE FROM inputs WHERE call = 'fc-2'", {}));
      THAW_TRY_VOID(
          store::testing::sql_of(transaction).run("DELETE FROM calls WHERE id = 'fc-3'", {}));
      return ok();
    };
    co_return co_await database.write<void>(std::move(work));
  };
  REQUIRE(f.loop.run_task(drop(*f.database)));
  f.reopen();
  const auto count = [](store::Database& database) -> async::Task<std::int64_t> {
    std::function<Result<std::int64_t>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<std::int64_t> {
      THAW_TRY(const auto counts, store::count_set_aside(transaction));
      return counts.contains("inputs") ? counts.at("inputs") : 0;
    };
    co_return co_await database.write<std::int64_t>(std::move(work));
  };
  CHECK(f.loop.run_task(count(*f.database)).value() == 2);
  const auto entries =
      f.loop.run_task(f.queue->read(Fixture::id("fc-2"), 0, 10, monotonic_now() + 20s, nullptr));
  REQUIRE(entries);
  CHECK(entries->empty());
  CHECK(f.loop.run_task(f.queue->info(Fixture::id("fc-3"))).error().code() == Code::not_found);
}
