// SPDX-License-Identifier: Apache-2.0
// The data folder of the last release whose callers spoke SQL: it is opened, all of it is there and
// goes on; and the tables that today's steps make are the same.
#include <doctest/doctest.h>
#include <sqlite3.h>

#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "thaw/catalog/catalog.h"
#include "thaw/control/measurements.h"
#include "thaw/gateway/access.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"
#include "thaw/store/blob_store.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;

namespace {

// The folder as if its server had ended a few seconds ago: what it keeps for hours is kept.
std::string as_of_now(const std::string& text) {
  constexpr std::int64_t ended_us = 1'796'071'861'000'000;
  const std::int64_t later = wall_now().time_since_epoch().count() - ended_us;
  static const std::regex times("\\b17960[0-9]{11}\\b");
  std::string out;
  auto rest = text.begin();
  for (std::sregex_iterator at(text.begin(), text.end(), times), end; at != end; ++at) {
    out.append(rest, (*at)[0].first);
    out += std::to_string(std::stoll(at->str()) + later);
    rest = (*at)[0].second;
  }
  out.append(rest, text.end());
  return out;
}

void add_to_file(const std::string& path, const std::string& fixture, std::size_t least_bytes) {
  std::ifstream file(std::string(THAW_STORE_FOLDERS) + "/" + fixture);
  std::stringstream text;
  text << file.rdbuf();
  REQUIRE(text.str().size() > least_bytes);
  sqlite3* raw = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &raw) == SQLITE_OK);
  CHECK(sqlite3_exec(raw, as_of_now(text.str()).c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  REQUIRE(sqlite3_close(raw) == SQLITE_OK);
}

void make_file(const std::string& path, const std::string& fixture) {
  add_to_file(path, fixture, 1'000);
}

std::vector<store::Migration> steps_of_server() {
  std::vector<store::Migration> all = catalog::migrations();
  for (const auto& more :
       {queue::migrations(), store::blob_migrations(), control::measurement_migrations()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

std::unique_ptr<store::Database> open(async::Loop& loop, const std::string& path,
                                      std::vector<store::Migration> steps) {
  store::DatabaseOptions options;
  options.path = path;
  options.migrations = std::move(steps);
  auto opened = store::Database::open(loop, options);
  REQUIRE_MESSAGE(opened, (opened ? "" : opened.error().to_string()));
  return std::move(*opened);
}

// All that SQLite knows of the tables and indexes, but for how their text was written.
std::map<std::string, std::string> form_of(store::Database& database) {
  std::map<std::string, std::string> form;
  const auto read = database.read_now([&form](store::Transaction& transaction) -> Result<void> {
    store::testing::Sql& sql = store::testing::sql_of(transaction);
    std::vector<std::string> tables;
    THAW_TRY_VOID(
        sql.each("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' "
                 "AND name NOT LIKE 'sqlite_%'",
                 {}, [&](const store::testing::SqlRow& row) {
                   tables.push_back(row.text(0));
                   form[row.text(0)] = "keyed " + row.text(1);
                 }));
    for (const std::string& table : tables) {
      THAW_TRY_VOID(
          sql.each("SELECT cid, name, type, \"notnull\", dflt_value, pk FROM "
                   "pragma_table_info(?)",
                   {table}, [&](const store::testing::SqlRow& row) {
                     std::string& one = form[table + "." + row.text(1)];
                     for (const int column : {0, 2, 3, 4, 5}) {
                       one += row.text(column) + " ";
                     }
                   }));
      THAW_TRY_VOID(
          sql.each("SELECT l.name, l.\"unique\", l.origin, l.partial, x.seqno, x.name, "
                   "x.desc, x.key FROM pragma_index_list(?) l, pragma_index_xinfo(l.name) x",
                   {table}, [&](const store::testing::SqlRow& row) {
                     std::string& one = form[table + " by " + row.text(0)];
                     for (const int column : {1, 2, 3, 4, 5, 6, 7}) {
                       one += row.text(column) + " ";
                     }
                   }));
    }
    return sql.each("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
                    {}, [&](const store::testing::SqlRow& row) {
                      std::istringstream words(row.text(1));
                      std::string& one = form["index " + row.text(0)];
                      for (std::string word; words >> word;) {
                        one += word + " ";
                      }
                    });
  });
  REQUIRE_MESSAGE(read, (read ? "" : read.error().to_string()));
  return form;
}

struct Folder {
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<control::Measurements> measurements;

  Folder() {
    make_file(folder / "thaw.db", "thaw.sql");
    start();
  }
  void start() {
    queue.reset();
    catalog.reset();
    measurements.reset();
    database.reset();
    database = open(loop, folder / "thaw.db", steps_of_server());
    catalog = std::move(*catalog::Catalog::open(*database));
    queue = std::move(*queue::CallQueue::open(loop, *database, {}));
    measurements = std::move(*control::Measurements::open(database.get()));
  }
  template <class T>
  T run(async::Task<T> task) {
    auto done = loop.run_task(std::move(task));
    REQUIRE_MESSAGE(done, (done ? "" : done.error().to_string()));
    if constexpr (!std::is_void_v<T>) {
      return std::move(*done);
    }
  }
  std::vector<model::LogEntry> log(const char* call) {
    // What a start brings to its end comes a moment later.
    return run(queue->read(model::CallId(call), 0, 10, monotonic_now() + 30s, nullptr));
  }
};

}  // namespace

TEST_CASE("a data folder of before verbs is opened, and all of it is there and goes on") {
  Folder f;
  for (int round = 0; round < 2; ++round) {
    REQUIRE(f.catalog->environment(f.catalog->default_workspace(), ""));
    CHECK(f.catalog->workspaces.all().size() == 1);
    CHECK(f.measurements->levels_of("v1").all[0].starts == 1);
    const auto done = f.log("fc-done");
    REQUIRE(done.size() == 4);
    CHECK(done[0].status.what == model::CallStatus::What::started);
    CHECK(done[1].payload.bytes == "piece");
    CHECK(done[1].payload.content_type == "text/plain");
    CHECK(done[2].payload.bytes == "result");
    CHECK(done[2].version == "v1");
    REQUIRE(done[3].failure);
    CHECK(done[3].failure->message == "it broke");
    CHECK(done[3].failure->retryable);
    const auto info = f.run(f.queue->info(model::CallId("fc-done")));
    CHECK(info.call.options == "2 4");
    CHECK(info.call.limits.run_for == std::optional<Duration>(30s));
    CHECK(info.call.limits.redeliveries == std::optional<int>(2));
    CHECK(info.call.keep.record_for == std::optional<Duration>(2h));
    CHECK(info.call.origin == model::Origin::web);
    CHECK(info.finished_at);
    // It was cancelled, but the server ended before its input did.
    const auto cancelled = f.log("fc-cancelled");
    REQUIRE(cancelled.size() == 1);
    CHECK(cancelled[0].outcome == model::OutcomeKind::terminated);
    f.start();
  }
  const queue::CallPage page =
      f.run(f.queue->list({.workspace = f.catalog->default_workspace()}, "", 10));
  CHECK(page.calls.size() == 3);
  model::NewCall again;
  again.id = model::CallId("fc-again");
  again.workspace = f.catalog->default_workspace();
  again.function = model::FunctionId("fu-1");
  again.durability = model::Durability::durable;
  const queue::Created created =
      f.run(f.queue->create_once(std::move(again), {{0, {"c"}}}, {"once", "print"}));
  CHECK(created.id.str() == "fc-open");
  const model::ContainerId container("ta-2");
  const auto leases = f.queue->lease(model::FunctionId("fu-1"), container, 10);
  REQUIRE(leases.size() == 2);
  CHECK(leases[0].payload.bytes == "c");
  CHECK(leases[0].attempt == 2);
  for (const queue::LeasedInput& lease : leases) {
    f.run(f.queue->complete(lease.input, container,
                            {model::OutcomeKind::success, {"ran " + lease.payload.bytes}}));
  }
  CHECK(f.log("fc-open").size() == 2);
  const queue::CallbackLane lane{f.catalog->default_workspace(), "http://hooks:80"};
  REQUIRE(f.run(f.queue->callbacks().begin()).size() == 1);
  const auto due = f.run(f.queue->callbacks().due(lane, wall_now() + 1s, 10));
  REQUIRE(due.size() == 1);
  CHECK(due[0].options == "opt");
  CHECK(f.run(f.queue->callbacks().turn(due[0])).entry->payload.bytes == "ran c");
  const auto told = f.run(f.queue->callbacks().of(model::CallId("fc-done")));
  REQUIRE(told.size() == 1);
  CHECK(told[0].told == 3);
  REQUIRE(f.database->read_now([](store::Transaction& transaction) -> Result<void> {
    THAW_TRY(const auto counts, store::count_set_aside(transaction));
    CHECK(counts.empty());
    return ok();
  }));
}

TEST_CASE(
    "a token of before scopes goes on to do everything, and a damaged one costs itself only") {
  Folder f;
  f.database->close();
  add_to_file(f.folder / "thaw.db", "tokens.sql", 500);
  f.start();
  for (int round = 0; round < 2; ++round) {
    gateway::Access access(*f.catalog);
    CHECK(f.catalog->tokens.all().size() == 1);
    const auto who = access.from_token("ak-0123456789abcdefABCDEF", "as-of-before-scopes");
    REQUIRE(who);
    CHECK(who->workspace == f.catalog->default_workspace());
    CHECK(who->grants.scopes == model::all_scopes);
    CHECK_FALSE(who->grants.is_narrow());
    const auto token = access.token_of(*who);
    CHECK(token->name == "thaw env");
    CHECK_FALSE(token->expires_at);
    CHECK_FALSE(token->old);
    CHECK(token->last_used_at.has_value() == (round == 1));
    f.run(access.write_uses(10));
    f.start();
  }
}

TEST_CASE("logs of before verbs are there, and go on behind their last line") {
  store::TempFolder folder;
  make_file(folder / "logs.db", "logs.sql");
  async::Loop loop;
  const auto database = open(loop, folder / "logs.db", logs::migrations());
  auto hub = std::move(*logs::LogHub::open(loop, *database, {}));
  hub->append("ap-1", {.text = "third\n"});
  const auto lines = loop.run_task(hub->find("ap-1", {}));
  REQUIRE(lines);
  REQUIRE(lines->size() == 3);
  CHECK(lines->at(0).text == "first\n");
  CHECK(lines->at(0).container == "ta-1");
  CHECK(lines->at(1).text == "it's second\n");
  CHECK(lines->at(1).channel == logs::Channel::err);
  CHECK(lines->at(2).number == 3);
}

TEST_CASE("the tables that the steps make today are those that were made before verbs") {
  async::Loop loop;
  for (const auto& [fixture, steps] :
       {std::pair("thaw.sql", steps_of_server()), std::pair("logs.sql", logs::migrations())}) {
    CAPTURE(fixture);
    store::TempFolder folder;
    make_file(folder / "old.db", fixture);
    const auto before = form_of(*open(loop, folder / "old.db", steps));
    const auto today = form_of(*open(loop, folder / "new.db", steps));
    CHECK(before.size() > 15);
    CHECK(before.size() == today.size());
    for (const auto& [what, form] : before) {
      CAPTURE(what);
      const auto found = today.find(what);
      REQUIRE(found != today.end());
      CHECK(found->second == form);
    }
  }
}
