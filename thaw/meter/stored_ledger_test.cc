// SPDX-License-Identifier: Apache-2.0
#include "thaw/meter/stored_ledger.h"

#include <doctest/doctest.h>

#include <optional>

#include "thaw/async/virtual_time.h"
#include "thaw/meter/line_codec.h"
#include "thaw/meter/meter.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

namespace thaw::meter {

namespace {

struct House {
  async::VirtualTime time;
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::optional<StoredLedger> ledger;
  Meter meter;

  House() { open(); }
  ~House() { close(); }
  void open() {
    store::DatabaseOptions options;
    options.path = folder / "ledger.db";
    options.migrations = migrations();
    auto opened = store::Database::open(loop, std::move(options));
    REQUIRE(opened);
    database = std::move(*opened);
    ledger.emplace(loop, *database, LedgerOptions{});
  }
  void close() {
    await(ledger->stop());
    ledger.reset();
    database->close();
    database.reset();
  }
  void await(async::Task<void> task) {
    Result<void> outcome = Error::internal("it has not ended");
    async::TaskGroup group(loop);
    const auto body = [](async::Task<void> inner, Result<void>& out) -> async::Task<void> {
      out = co_await std::move(inner);
      co_return ok();
    };
    group.start("awaited", body(std::move(task), outcome));
    for (int i = 0; i < 10'000 && group.size() > 0; ++i) {
      time.run(loop, time.now() + 1ms);
    }
    REQUIRE_MESSAGE(outcome, (outcome ? std::string() : outcome.error().to_string()));
  }
  template <class T>
  T value(async::Task<T> task) {
    std::optional<T> out;
    const auto body = [](async::Task<T> inner, std::optional<T>& into) -> async::Task<void> {
      THAW_CO_TRY(into, co_await std::move(inner));
      co_return ok();
    };
    await(body(std::move(task), out));
    return std::move(*out);
  }
  void write(Meter::Which which) {
    const auto group = std::make_shared<const Group>(meter.take(which, time.now(), time.wall()));
    await(ledger->write(group));
    meter.written(*group);
  }
  void starts(const std::string& id) {
    SpanFacts facts;
    facts.container = model::ContainerId(id);
    facts.workspace = model::WorkspaceId("ac-1");
    facts.function = model::FunctionId("fu-1");
    facts.function_name = "square";
    meter.open(std::move(facts), std::uint64_t{1} << 30);
    meter.enter(model::ContainerId(id), State::starting, time.now());
  }
  LineNumber begins(const std::string& id, const std::string& line) {
    LineStart start;
    start.id = line;
    start.front = "native";
    start.level = model::Level::booted;
    return meter.begin(model::ContainerId(id), std::move(start), time.now());
  }
  void passes(Duration how_long) { time.run(loop, time.now() + how_long); }
  Usage read() {
    UsageFilter filter;
    filter.workspaces = {model::WorkspaceId("ac-1")};
    filter.from = time.wall() - std::chrono::hours(48);
    filter.until = time.wall() + std::chrono::hours(48);
    filter.rounding = {.to_us = 1'000'000};
    return value(ledger->read(std::move(filter)));
  }
  static std::int64_t us(const Usage& usage, Part part) {
    std::int64_t sum = 0;
    for (const PartRow& row : usage.spans) {
      sum += row.part == part ? row.amount.us : 0;
    }
    return sum;
  }
};

}  // namespace

TEST_CASE("what was written is read as sums, and a line that comes twice is counted once") {
  House house;
  house.starts("ta-1");
  house.passes(2s);
  house.meter.enter(model::ContainerId("ta-1"), State::idle, house.time.now());
  const LineNumber line = house.begins("ta-1", "in-1#1");
  house.passes(1500ms);
  house.meter.end(model::ContainerId("ta-1"), line, {.outcome = "success"}, house.time.now());
  const auto group = std::make_shared<const Group>(
      house.meter.take(Meter::Which::ended, house.time.now(), house.time.wall()));
  house.await(house.ledger->write(group));
  house.meter.written(*group);
  auto again = std::make_shared<Group>();
  again->lines = group->lines;
  house.await(house.ledger->write(again));

  const Usage usage = house.read();
  REQUIRE(usage.calls.size() == 1);
  CHECK(usage.calls[0].sums.calls == 1);
  CHECK(usage.calls[0].sums.share_us == House::us(usage, Part::calls));
  CHECK(usage.calls[0].sums.cold_us == House::us(usage, Part::cold));
  CHECK(usage.calls[0].sums.billed_us == 2'000'000);
  CHECK(usage.calls[0].sums.uncounted == 1);
  CHECK(usage.calls[0].level == model::Level::booted);
  CHECK(usage.names.at(model::FunctionId("fu-1")) == "square");
}

TEST_CASE(
    "spans of a server that was killed are closed as last seen, and nothing is billed twice") {
  House house;
  house.starts("ta-1");
  house.passes(1s);
  house.meter.enter(model::ContainerId("ta-1"), State::idle, house.time.now());
  const LineNumber line = house.begins("ta-1", "in-1#1");
  house.passes(1s);
  house.write(Meter::Which::all);
  house.passes(1s);
  // The outcome is stored with its line; then the server dies.
  const auto owed =
      house.meter.look(model::ContainerId("ta-1"), line, {.outcome = "success"}, house.time.now());
  REQUIRE(owed);
  house.close();
  house.open();
  for (int starts = 0; starts < 2; ++starts) {
    const auto found = house.value(house.ledger->recover({write_line(*owed), "garbage", "{}"}));
    CHECK(found.spans == (starts == 0 ? 1 : 0));
    CHECK(found.lines == (starts == 0 ? 1 : 0));
    CHECK(found.bad == 2);
    const Usage usage = house.read();
    REQUIRE(usage.calls.size() == 1);
    CHECK(usage.calls[0].sums.calls == 1);
    CHECK(usage.calls[0].sums.share_us == owed->share_us);
    CHECK(House::us(usage, Part::calls) == owed->share_us);
    CHECK(House::us(usage, Part::cold) == owed->cold_us);
    CHECK(House::us(usage, Part::under_way) == 0);
  }
}

TEST_CASE("a span whose record makes no sense lies aside, and the others are closed") {
  House house;
  house.starts("ta-1");
  house.starts("ta-2");
  house.passes(1s);
  house.write(Meter::Which::all);
  house.await(house.database->write<void>([](store::Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(store::testing::sql_of(transaction)
                      .run("UPDATE spans SET busy_us = 'much' WHERE container = 'ta-1'", {}));
    return ok();
  }));
  house.close();
  house.open();
  const auto found = house.value(house.ledger->recover({}));
  CHECK(found.spans == 1);
  CHECK(found.bad == 1);
  const auto aside = house.value(house.database->read<std::map<std::string, std::int64_t>>(
      [](store::Transaction& transaction) { return store::count_set_aside(transaction); }));
  CHECK(aside.at("spans") == 1);
}

TEST_CASE("lines are forgotten after their time, and their sums are not") {
  House house;
  house.starts("ta-1");
  house.meter.enter(model::ContainerId("ta-1"), State::idle, house.time.now());
  const LineNumber line = house.begins("ta-1", "in-1#1");
  house.passes(1s);
  house.meter.end(model::ContainerId("ta-1"), line, {.outcome = "success"}, house.time.now());
  house.meter.close(model::ContainerId("ta-1"), "", "internal_failure", house.time.now());
  house.write(Meter::Which::ended);
  house.await(house.ledger->forget_before(house.time.wall() + std::chrono::seconds(60)));
  const Usage usage = house.read();
  REQUIRE(usage.calls.size() == 1);
  CHECK(usage.calls[0].sums.calls == 1);
  CHECK(usage.calls[0].sums.billed_calls == 0);
}

TEST_CASE("a line goes through text as it is, and damage is told") {
  Line line;
  line.start.id = "in-1#2";
  line.workspace = model::WorkspaceId("ac-1");
  line.function = model::FunctionId("fu-1");
  line.start.bytes_in = 7;
  line.tokens.out = 0;
  line.share_us = 5;
  const auto read = read_line(write_line(line));
  REQUIRE(read);
  CHECK(read->start.id == "in-1#2");
  CHECK(read->start.bytes_in == 7);
  CHECK(!read->bytes_out);
  CHECK(read->tokens.out == 0);
  CHECK(!read->tokens.in);
  for (const char* damaged : {"", "[]", "{}", "{\"id\":1}", "nonsense"}) {
    CHECK_MESSAGE(!read_line(damaged), damaged);
  }
}

}  // namespace thaw::meter
