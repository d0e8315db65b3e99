// SPDX-License-Identifier: Apache-2.0
//
// For tests: a state store in virtual time on a database in a temporary folder, that can be closed
// and opened again like a server that was killed, and short ways to use it.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/async/virtual_time.h"
#include "thaw/state/state_store.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

namespace thaw::state {

struct Fixture {
  async::VirtualTime time;
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  StateLimits limits;
  store::DiskShares disk{folder.path(), {std::nullopt, 0}};
  async::Loop loop;
  async::TaskGroup tasks{loop};
  std::unique_ptr<store::Database> database;
  std::unique_ptr<StateStore> state;
  Object dict{Object::Kind::dict, "di-1", model::WorkspaceId("ac-1")};
  Object queue{Object::Kind::queue, "qu-1", model::WorkspaceId("ac-1")};

  explicit Fixture(StateLimits given = {}) : limits(given) { open(); }

  void open() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = migrations();
    auto opened = store::Database::open(loop, options);
    REQUIRE(opened);
    database = std::move(*opened);
    auto made = StateStore::open(loop, *database, limits, &disk);
    REQUIRE(made);
    state = std::move(*made);
    passes(1ms);
  }
  void close() {
    state.reset();
    database.reset();
  }
  void reopen() {
    close();
    open();
  }

  void passes(Duration how_long) { time.run(loop, time.now() + how_long); }
  template <class T>
  static async::Task<void> into(async::Task<T> task,
                                std::shared_ptr<std::optional<Result<T>>> out) {
    out->emplace(co_await std::move(task));
    co_return ok();
  }
  template <class T>
  struct Started {
    std::shared_ptr<std::optional<Result<T>>> out = std::make_shared<std::optional<Result<T>>>();
    async::TaskGroup::Handle handle;
    bool is_done() const { return out->has_value(); }
    const Result<T>& result() const {
      REQUIRE(is_done());
      return **out;
    }
  };
  template <class T>
  Started<T> start(async::Task<T> task) {
    Started<T> started;
    started.handle = tasks.start("started", into(std::move(task), started.out));
    return started;
  }
  template <class T>
  Result<T> await(async::Task<T> task) {
    auto started = start(std::move(task));
    for (int i = 0; i < 2'000 && !started.is_done(); ++i) {
      passes(1ms);
    }
    REQUIRE(started.is_done());
    return std::move(**started.out);
  }
  template <class T>
  Code code(async::Task<T> task) {
    const auto result = await(std::move(task));
    return result ? Code::ok : result.error().code();
  }

  std::uint64_t put(const std::string& key, const std::string& value,
                    Dicts::Existing existing = Dicts::Existing::replace,
                    const std::string& request = "") {
    const auto added =
        await(state->dicts().update(dict, {{key, value}}, existing, RequestKey(request)));
    REQUIRE(added);
    return *added;
  }
  std::string get(const std::string& key) {
    const auto found = await(state->dicts().get(dict, key, 1u << 20));
    REQUIRE(found);
    return found->is_found ? found->value : "(none)";
  }
  std::string pop(const std::string& key, const std::string& request = "") {
    const auto found = await(state->dicts().pop(dict, key, RequestKey(request)));
    REQUIRE(found);
    return found->value_or("(none)");
  }
  std::uint64_t size() {
    const auto found = await(state->dicts().size(dict));
    REQUIRE(found);
    return *found;
  }
  std::string keys() {
    std::string all;
    std::optional<std::string> after;
    while (true) {
      const auto page = await(state->dicts().read(dict, after, Dicts::Values::left_out));
      REQUIRE(page);
      if (page->empty()) {
        return all;
      }
      for (const Entry& entry : *page) {
        all += entry.key;
      }
      after = page->back().key;
    }
  }

  async::Task<void> putting(std::vector<std::string> items, const std::string& partition = "",
                            const std::string& request = "", Duration ttl = {}) {
    return state->queues().put(queue, partition, std::move(items), ttl, RequestKey(request));
  }
  void give(std::vector<std::string> items, const std::string& partition = "",
            const std::string& request = "", Duration ttl = {}) {
    REQUIRE(await(putting(std::move(items), partition, request, ttl)));
  }
  async::Task<std::vector<std::string>> taking(std::size_t most = 1, Duration wait = {},
                                               const std::string& request = "",
                                               const std::string& partition = "",
                                               const std::string& asker = "ta-1") {
    return state->queues().take(queue, partition, most, {time.now() + wait, asker},
                                RequestKey(request));
  }
  static std::string joined(const std::vector<std::string>& items) {
    std::string all;
    for (const std::string& item : items) {
      all += item;
    }
    return all;
  }
  std::string take(std::size_t most = 1, const std::string& request = "",
                   const std::string& partition = "") {
    const auto items = await(taking(most, {}, request, partition));
    REQUIRE(items);
    return joined(*items);
  }
  std::uint64_t items(const std::string& partition = "") {
    const auto found = await(state->queues().size(queue, partition));
    REQUIRE(found);
    return *found;
  }

  // What a person with the file could do.
  void run_sql(const std::string& statement) {
    std::function<Result<void>(store::Transaction&)> work =
        [statement](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(store::testing::sql_of(transaction).run(statement, {}));
      return ok();
    };
    REQUIRE(await(database->write<void>(std::move(work))));
  }
  std::int64_t number(const std::string& query) {
    std::function<Result<std::int64_t>(store::Transaction&)> work =
        [query](store::Transaction& transaction) -> Result<std::int64_t> {
      std::int64_t found = 0;
      THAW_TRY_VOID(store::testing::sql_of(transaction)
                        .each(query, {}, [&found](const store::testing::SqlRow& row) {
                          found = row.integer(0);
                        }));
      return found;
    };
    const auto found = await(database->write<std::int64_t>(std::move(work)));
    REQUIRE(found);
    return *found;
  }
  std::int64_t set_aside() { return number("SELECT count(*) FROM set_aside"); }
  // Whatever is counted agrees with what is there.
  void check_counts() {
    CHECK(number("SELECT count(*) FROM state_objects AS o WHERE kind = 0 AND (entries != (SELECT "
                 "count(*) FROM state_entries WHERE dict = o.id) OR bytes != (SELECT "
                 "coalesce(sum(bytes), 0) FROM state_entries WHERE dict = o.id))") == 0);
    CHECK(number("SELECT count(*) FROM state_objects AS o WHERE kind = 1 AND (entries != (SELECT "
                 "count(*) FROM state_items WHERE queue = o.id) OR bytes != (SELECT "
                 "coalesce(sum(bytes), 0) FROM state_items WHERE queue = o.id) OR partitions != "
                 "(SELECT count(*) FROM state_partitions WHERE queue = o.id))") == 0);
    CHECK(number("SELECT count(*) FROM state_partitions AS p WHERE items != (SELECT count(*) FROM "
                 "state_items WHERE queue = p.queue AND partition = p.name) OR bytes != (SELECT "
                 "coalesce(sum(bytes), 0) FROM state_items WHERE queue = p.queue AND "
                 "partition = p.name)") == 0);
    CHECK(number("SELECT count(*) FROM (SELECT workspace, sum(entries) AS e, sum(bytes) AS b FROM "
                 "state_objects GROUP BY workspace) AS real LEFT JOIN state_uses AS told USING "
                 "(workspace) WHERE told.entries IS NOT e OR told.bytes IS NOT b") == 0);
    CHECK(number("SELECT count(*) FROM state_uses AS u WHERE answers != (SELECT count(*) FROM "
                 "state_answers WHERE workspace = u.workspace)") == 0);
  }
};

}  // namespace thaw::state
