// SPDX-License-Identifier: Apache-2.0
// What a publication makes of versions, and of aliases that name them.
#include "thaw/gateway/deployments.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using namespace thaw::gateway;
using model::Target;

namespace {

struct House : control::FleetHouse {
  WebLabels labels{*catalog};
  KeptVersions versions{{loop, *catalog, *queue, *fleet}};
  Deployments deployments{{loop, *catalog, *queue, *logs, *fleet, labels, versions}, {}};
  const catalog::Scope scope{*catalog, model::WorkspaceId("ac-1")};
  const model::AppId app{"ap-pushed"};
  const model::FunctionId function{"fu-pushed"};
  std::size_t keep = 10;

  House() {
    versions.start();
    deployments.start();
    await(catalog->environments.put(
        {model::EnvironmentId("en-1"), model::WorkspaceId("ac-1"), "main", wall_now()}));
  }
  ~House() {
    await(deployments.stop());
    await(versions.stop());
  }
  Publication publication(const std::string& version, AliasShares shares = {}) {
    auto made = std::make_shared<model::FunctionSpec>(spec);
    made->id = function;
    made->app = app;
    made->version = version;
    made->name = "hello";
    made->definition = std::string(2'000, 'd');
    Publication out;
    out.functions["hello"] = {function, version, made, keep, std::move(shares)};
    out.state = model::AppState::deployed;
    out.name = "hello";
    if (!catalog->apps.find(app.str())) {
      out.made.emplace();
      out.made->id = app;
      out.made->workspace = spec.workspace;
      out.made->environment = model::EnvironmentId("en-1");
    }
    return out;
  }
  static async::Task<void> publish_one(House& house, Publication what, Result<void>& out) {
    auto done = co_await house.deployments.publish(house.scope, house.app.str(), std::move(what));
    out = done ? ok() : Result<void>(done.error());
    co_return ok();
  }
  Result<void> try_publish(Publication what) {
    Result<void> out = Error::internal("it has not ended");
    await(publish_one(*this, std::move(what), out));
    return out;
  }
  void publish(const std::string& version, AliasShares shares = {}) {
    const Result<void> done = try_publish(publication(version, std::move(shares)));
    REQUIRE_MESSAGE(done, (done ? std::string() : done.error().to_string()));
  }
  void publish_many(int from, int to) {
    for (int i = from; i <= to; ++i) {
      publish("de-" + std::to_string(i));
    }
  }
  Code set(const std::string& name, std::vector<model::WeightedVersion> to) {
    Code code = Code::internal;
    const auto body = [](House& h, std::string of, std::vector<model::WeightedVersion> what,
                         Code& out) -> async::Task<void> {
      const auto done = co_await h.versions.set_alias(h.scope, h.function, std::move(of), what);
      out = done ? Code::ok : done.error().code();
      co_return ok();
    };
    await(body(*this, name, std::move(to), code));
    return code;
  }
  std::string live() { return catalog->functions.find(function.str())->live_version; }
  // Beside the live one, the newest first.
  std::vector<std::string> kept() {
    std::vector<std::string> names;
    for (const auto& version : catalog->versions_of(function)) {
      names.push_back(version->spec->version);
    }
    return names;
  }
  std::string route(const std::string& asked) {
    const auto found = versions.route(scope, *catalog->functions.find(function.str()), asked);
    return found ? found->target.str() + " " + found->spec->version : found.error().message();
  }
  void pinned(const std::string& name, const std::string& version) {
    const auto body = [](House& h, std::string id, std::string at) -> async::Task<void> {
      model::NewCall call;
      call.id = model::CallId(std::move(id));
      call.workspace = h.spec.workspace;
      call.app = h.app;
      call.function = h.function;
      call.version = std::move(at);
      call.durability = model::Durability::durable;
      std::vector<model::NewInput> inputs;
      inputs.push_back({0, {"payload"}});
      THAW_CO_TRY_VOID(co_await h.queue->create(std::move(call), std::move(inputs)));
      co_return ok();
    };
    await(body(*this, name, version));
  }
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("two publications of one function in the same commit both come to be") {
  House f;
  f.publish("de-1");
  Result<void> first = Error::internal("it has not ended");
  Result<void> second = Error::internal("it has not ended");
  f.tasks.start("first", House::publish_one(f, f.publication("de-2"), first));
  f.tasks.start("second", House::publish_one(f, f.publication("de-3"), second));
  f.passes(1s);
  CHECK(first);
  CHECK(second);
  CHECK(f.live() == "de-3");
  CHECK(f.kept() == Names{"de-2", "de-1"});
}

TEST_CASE("two first publications of one name at once are one function") {
  House f;
  Result<void> first = Error::internal("it has not ended");
  Result<void> second = Error::internal("it has not ended");
  f.tasks.start("first", House::publish_one(f, f.publication("de-1"), first));
  f.tasks.start("second", House::publish_one(f, f.publication("de-2"), second));
  f.passes(1s);
  CHECK(first);
  CHECK(second);
  CHECK(f.live() == "de-2");
  CHECK(f.kept() == Names{"de-1"});
  CHECK(f.catalog->apps.find(f.app.str())->version == 2);
}

TEST_CASE("of two the one that began later stays, whichever was ready first") {
  House f;
  Publication slow = f.publication("de-slow");
  slow.turn = f.deployments.begin();
  Publication quick = f.publication("de-quick");
  quick.turn = f.deployments.begin();
  REQUIRE(f.try_publish(quick));
  slow.made.reset();
  const Result<void> late = f.try_publish(slow);
  REQUIRE(!late);
  CHECK(late.error().code() == Code::aborted);
  CHECK(f.live() == "de-quick");
  CHECK(f.kept().empty());
  Publication next = f.publication("de-next");
  next.turn = f.deployments.begin();
  REQUIRE(f.try_publish(next));
  CHECK(f.live() == "de-next");
}

TEST_CASE("a publication that the disk does not take keeps nobody from publishing") {
  House f;
  f.publish("de-1");
  Publication bad = f.publication("de-2");
  auto spec = std::make_shared<model::FunctionSpec>(*bad.functions["hello"].spec);
  spec->scaling.max_containers = -1;
  bad.functions["hello"].spec = spec;
  Publication good = f.publication("de-3");
  good.turn = f.deployments.begin();
  bad.turn = f.deployments.begin();
  CHECK(f.try_publish(bad).error().code() == Code::invalid_argument);
  CHECK(f.try_publish(good));
  CHECK(f.live() == "de-3");
  CHECK(f.kept() == Names{"de-1"});
}

TEST_CASE("a function keeps its last versions, and the oldest go") {
  House f;
  f.keep = 3;
  f.publish_many(1, 5);
  CHECK(f.kept() == Names{"de-4", "de-3"});
  CHECK(f.catalog->spec_of({f.function, "de-3"}));
  CHECK(!f.catalog->spec_of({f.function, "de-2"}));
  f.keep = 1;
  f.publish("de-6");
  CHECK(f.kept().empty());
  f.keep = 0;
  f.publish("de-7");
  CHECK(f.kept().empty());
  CHECK(f.route("") == "fu-pushed de-7");
}

TEST_CASE("a version that an alias names is not dropped, and is once it does so no more") {
  House f;
  f.keep = 2;
  f.publish_many(1, 2);
  CHECK(f.set("old", {{"de-1", 1}}) == Code::ok);
  f.publish_many(3, 5);
  CHECK(f.kept() == Names{"de-4", "de-1"});
  CHECK(f.route("old") == "fu-pushed@de-1 de-1");
  CHECK(f.set("old", {{"de-5", 1}}) == Code::ok);
  f.passes(10s);
  CHECK(f.kept() == Names{"de-4"});
}

TEST_CASE("a version stays until the last call that is pinned to it has ended") {
  House f;
  f.keep = 1;
  f.publish("de-1");
  f.pinned("fc-1", "de-1");
  f.publish_many(2, 3);
  CHECK(f.kept() == Names{"de-1"});
  f.passes(10s);
  REQUIRE(f.worker.launched.size() == 1);
  f.polls(0);
  f.passes(1s);
  REQUIRE(f.taken.size() == 1);
  f.passes(10s);
  CHECK(f.kept() == Names{"de-1"});
  f.finishes(f.taken.at(0), 0);
  f.polls(0);
  f.passes(10s);
  CHECK(f.kept().empty());
  CHECK(f.stops_told == 1);
  CHECK(f.result_of("fc-1")->version == "de-1");
}

TEST_CASE("a publication writes no more when a thousand versions are kept") {
  House f;
  f.keep = 1'000;
  const auto bytes_of_next = [&f](int number) {
    const auto number_from = [&f](const std::string& query, std::int64_t than) {
      std::int64_t number = 0;
      REQUIRE(f.database->read_now([&](store::Transaction& transaction) {
        return store::testing::sql_of(transaction)
            .each(query, {than},
                  [&](const store::testing::SqlRow& row) { number = row.integer(0); });
      }));
      return number;
    };
    const std::int64_t last =
        number_from("SELECT max(updated_us) FROM catalog_objects WHERE updated_us > ?", 0);
    f.publish("de-" + std::to_string(number));
    return number_from(
        "SELECT sum(length(json) + length(bytes)) FROM catalog_objects WHERE updated_us > ?", last);
  };
  f.publish_many(1, 150);  // by then an app's history has its full length
  f.passes(1s);
  const std::int64_t few = bytes_of_next(151);
  f.publish_many(152, 999);
  f.passes(1s);
  const std::int64_t many = bytes_of_next(1'000);
  CHECK(few > 4'000);
  CHECK(many < few + 200);
  CHECK(f.kept().size() == 999);
  f.publish("de-1001");
  CHECK(f.kept().size() == 999);
  CHECK(f.kept().back() == "de-2");
}

TEST_CASE("a request goes where it asks, and without a word to what is live") {
  House f;
  f.publish_many(1, 3);
  CHECK(f.route("") == "fu-pushed de-3");
  CHECK(f.route("live") == "fu-pushed de-3");
  CHECK(f.route("de-3") == "fu-pushed@de-3 de-3");
  CHECK(f.route("de-1") == "fu-pushed@de-1 de-1");
  CHECK(f.route("de-9").find("keeps no version 'de-9'") != std::string::npos);
  CHECK(f.route("canary").find("has no alias") != std::string::npos);
  CHECK(f.set("canary", {{"de-2", 7}}) == Code::ok);
  CHECK(f.route("canary") == "fu-pushed@de-2 de-2");
  // Whose alias "live" is set decides for the plain address, too.
  CHECK(f.set("live", {{"de-1", 90}, {"de-3", 10}}) == Code::ok);
  std::map<std::string, int> got;
  for (int i = 0; i < 2'000; ++i) {
    ++got[f.route("")];
  }
  CHECK(got.size() == 2);
  CHECK(got["fu-pushed@de-1 de-1"] > got["fu-pushed@de-3 de-3"]);
  f.publish("de-4");
  CHECK(f.route("") != "fu-pushed de-4");
  f.await(f.versions.remove_alias(f.scope, f.function, "live"));
  CHECK(f.route("") == "fu-pushed de-4");
}

TEST_CASE("a publication gives its version a part of an alias, and the others keep the rest") {
  House f;
  f.publish("de-1");
  f.publish("de-2", {{"live", 10}});
  const auto live = f.catalog->alias(f.function, "live");
  REQUIRE(live);
  CHECK(live->versions == std::vector<model::WeightedVersion>{{"de-1", 9'000}, {"de-2", 1'000}});
  // Who has no others has all.
  f.publish("de-3", {{"new", 10}});
  const auto made = f.catalog->alias(f.function, "new");
  REQUIRE(made);
  REQUIRE(made->versions.size() == 1);
  CHECK(made->versions.front().version == "de-3");
  f.publish("de-4", {{"live", 100}});
  CHECK(f.route("") == "fu-pushed@de-4 de-4");
  CHECK(f.try_publish(f.publication("de-5", {{"live", 101}})).error().code() ==
        Code::invalid_argument);
  CHECK(f.try_publish(f.publication("de-5", {{"No name", 10}})).error().code() ==
        Code::invalid_argument);
  CHECK(f.live() == "de-4");
}

TEST_CASE("an alias names versions that are there, and a function has a bounded number of them") {
  House f;
  f.publish_many(1, 2);
  CHECK(f.set("a", {{"de-9", 1}}) == Code::not_found);
  CHECK(f.set("a", {{"de-1", 0}}) == Code::invalid_argument);
  CHECK(f.set("a", {}) == Code::invalid_argument);
  CHECK(f.set("A", {{"de-1", 1}}) == Code::invalid_argument);
  for (std::size_t i = 0; i < model::most_aliases; ++i) {
    REQUIRE(f.set("a" + std::to_string(i), {{"de-1", 1}}) == Code::ok);
  }
  CHECK(f.set("one-more", {{"de-1", 1}}) == Code::resource_exhausted);
  CHECK(f.set("a0", {{"de-2", 1}}) == Code::ok);
  CHECK(f.try_publish(f.publication("de-3", {{"one-more", 10}})).error().code() ==
        Code::resource_exhausted);
}

TEST_CASE("another workspace finds neither version nor alias, and sets none") {
  House f;
  f.publish_many(1, 2);
  CHECK(f.set("old", {{"de-1", 1}}) == Code::ok);
  const catalog::Scope other(*f.catalog, model::WorkspaceId("ac-2"));
  CHECK(!other.spec_of({f.function, "de-1"}));
  CHECK(!other.alias(f.function, "old"));
  CHECK(other.versions_of(f.function).empty());
  CHECK(other.aliases_of(f.function).empty());
  CHECK(!f.versions.route(other, *f.catalog->functions.find(f.function.str()), "old"));
  const auto body = [](House& h, catalog::Scope by, Code& set, Code& removed) -> async::Task<void> {
    const auto done = co_await h.versions.set_alias(by, h.function, "old", {{"de-2", 1}});
    set = done ? Code::ok : done.error().code();
    const auto gone = co_await h.versions.remove_alias(by, h.function, "old");
    removed = gone ? Code::ok : gone.error().code();
    co_return ok();
  };
  Code set = Code::ok;
  Code removed = Code::ok;
  f.await(body(f, other, set, removed));
  CHECK(set == Code::not_found);
  CHECK(removed == Code::not_found);
  CHECK(f.route("old") == "fu-pushed@de-1 de-1");
}

TEST_CASE("an app that has ended leaves no version and no alias") {
  House f;
  f.publish_many(1, 3);
  CHECK(f.set("old", {{"de-1", 1}}) == Code::ok);
  f.await(f.deployments.stop_app(f.app, "it was removed"));
  f.passes(15min);
  CHECK(!f.catalog->functions.find(f.function.str()));
  CHECK(f.catalog->versions.all().empty());
  CHECK(f.catalog->aliases.all().empty());
}
