// SPDX-License-Identifier: Apache-2.0
// Which dicts and queues there are, over crashes too, in virtual time.
#include "thaw/gateway/named_states.h"

#include <doctest/doctest.h>

#include <optional>

#include "thaw/async/virtual_time.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;
using Making = NamedStates::Making;

namespace {

struct Fixture {
  async::VirtualTime time;
  store::TempFolder folder{store::TempFolder::Place::in_memory};
  async::Loop loop;
  async::TaskGroup tasks{loop};
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<state::StateStore> state;
  std::optional<NamedStates> named;
  std::shared_ptr<const model::Environment> environment =
      std::make_shared<const model::Environment>(
          model::Environment{model::EnvironmentId("en-1"), model::WorkspaceId("ac-1"), "main", {}});

  Fixture() { open(); }
  ~Fixture() { close(); }

  void open() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = catalog::migrations();
    for (auto& migration : state::migrations()) {
      options.migrations.push_back(std::move(migration));
    }
    auto opened = store::Database::open(loop, options);
    REQUIRE(opened);
    database = std::move(*opened);
    auto known = catalog::Catalog::open(*database);
    REQUIRE(known);
    catalog = std::move(*known);
    auto made = state::StateStore::open(loop, *database, {}, nullptr);
    REQUIRE(made);
    state = std::move(*made);
    named.emplace(NamedStateParts{loop, *catalog, *state}, NamedStateOptions{});
    named->start();
  }
  void close() {
    REQUIRE(await(named->stop()));
    REQUIRE(await(state->stop()));
    named.reset();
    state.reset();
    catalog.reset();
    database.reset();
  }
  void reopen() {
    close();
    open();
  }
  void passes(Duration how_long) { time.run(loop, time.now() + how_long); }
  template <class T>
  static async::Task<void> into(async::Task<T> task, std::optional<Result<T>>& out) {
    out.emplace(co_await std::move(task));
    co_return ok();
  }
  template <class T>
  Result<T> await(async::Task<T> task) {
    std::optional<Result<T>> out;
    tasks.start("awaited", into(std::move(task), out));
    for (int i = 0; i < 1'000 && !out; ++i) {
      passes(1ms);
    }
    REQUIRE(out);
    return std::move(*out);
  }

  catalog::Scope scope() const { return {*catalog, environment->workspace}; }
  async::Task<NamedStates::Found<model::Dict>> asking(const std::string& name, Making making) {
    return named->dict(scope(), {environment->workspace, environment, name, making});
  }
  model::Dict dict(const std::string& name, Making making = Making::if_missing) {
    const auto found = await(asking(name, making));
    REQUIRE(found);
    return *found->thing;
  }
  Code code(const std::string& name, Making making) {
    const auto found = await(asking(name, making));
    return found ? Code::ok : found.error().code();
  }
  void put(const model::Dict& dict) {
    REQUIRE(await(state->dicts().update(state::object_of(dict), {{"a", "1"}},
                                        state::Dicts::Existing::replace, {})));
  }
  std::size_t stored() {
    const auto objects = await(state->objects("", 100));
    REQUIRE(objects);
    return objects->size();
  }
};

}  // namespace

TEST_CASE("a dict is found, made when it is missing, or new, as its client wants") {
  Fixture f;
  CHECK(f.code("a", Making::find) == Code::not_found);
  const model::Dict made = f.dict("a");
  CHECK(f.dict("a").id == made.id);
  CHECK(f.dict("a", Making::find).id == made.id);
  CHECK(f.code("a", Making::new_only) == Code::already_exists);
  CHECK(f.code("b", Making::new_only) == Code::ok);
  f.reopen();
  CHECK(f.dict("a", Making::find).id == made.id);
  // A queue may have the same name.
  const auto queue = f.await(f.named->item_queue(
      f.scope(), {f.environment->workspace, f.environment, "a", Making::new_only}));
  REQUIRE(queue);
  CHECK(queue->is_new);
}

TEST_CASE("two that ask at once for one that is missing get the same") {
  Fixture f;
  std::optional<Result<NamedStates::Found<model::Dict>>> one;
  std::optional<Result<NamedStates::Found<model::Dict>>> other;
  f.tasks.start("one", Fixture::into(f.asking("a", Making::if_missing), one));
  f.tasks.start("other", Fixture::into(f.asking("a", Making::if_missing), other));
  f.passes(1s);
  REQUIRE(one);
  REQUIRE(other);
  CHECK((*one)->thing->id == (*other)->thing->id);
  CHECK((*one)->is_new);
  CHECK_FALSE((*other)->is_new);
}

TEST_CASE("one that was deleted is found by nobody, and what was in it goes") {
  Fixture f;
  const model::Dict dict = f.dict("a");
  f.put(dict);
  CHECK(f.stored() == 1);
  REQUIRE(f.await(f.named->erase(dict)));
  CHECK(f.code("a", Making::find) == Code::not_found);
  f.passes(1s);
  CHECK(f.stored() == 0);
  CHECK(f.dict("a").id != dict.id);
}

TEST_CASE("what a crash leaves of a deleted one goes with the next start") {
  Fixture f;
  const model::Dict dict = f.dict("a");
  f.put(dict);
  f.put(f.dict("kept"));
  REQUIRE(f.await(f.catalog->dicts.erase(dict.id.str())));
  CHECK(f.stored() == 2);
  f.reopen();
  f.passes(10s);
  CHECK(f.stored() == 1);
}

TEST_CASE("an ephemeral one lives while its client says so, and a while after a restart") {
  Fixture f;
  const model::Dict one = f.dict("", Making::ephemeral);
  const model::Dict other = f.dict("", Making::ephemeral);
  f.put(one);
  CHECK(one.id != other.id);
  for (int i = 0; i < 4; ++i) {
    f.passes(std::chrono::minutes(5));
    f.named->beat(one);
  }
  CHECK(f.scope().dict(one.id.str()));
  CHECK_FALSE(f.scope().dict(other.id.str()));
  f.reopen();
  f.passes(std::chrono::minutes(14));
  CHECK(f.scope().dict(one.id.str()));
  f.passes(std::chrono::minutes(2));
  CHECK_FALSE(f.scope().dict(one.id.str()));
  CHECK(f.stored() == 0);
  // One with a name needs no heartbeats.
  f.dict("named");
  f.passes(std::chrono::hours(48));
  CHECK(f.code("named", Making::find) == Code::ok);
}
