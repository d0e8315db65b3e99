// SPDX-License-Identifier: Apache-2.0
// Deployments that one can go back to, those that are staged, and those that only renew containers.
#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "thaw/control/fleet_house_test.h"
#include "thaw/gateway/deployments.h"

using namespace thaw;
using namespace thaw::gateway;
using Kind = model::Deployment::Kind;

namespace {

// An app whose functions are drafts before they are published, as clients of many functions do it.
struct Shop : control::FleetHouse {
  WebLabels labels{*catalog};
  KeptVersions versions{{loop, *catalog, *queue, *fleet}};
  Deployments deployments;
  const catalog::Scope scope{*catalog, model::WorkspaceId("ac-1")};
  const std::string app = "ap-shop";

  explicit Shop(std::size_t keep = 20)
      : deployments({loop, *catalog, *queue, *logs, *fleet, labels, versions}, options(keep)) {
    versions.start();
    deployments.start();
    model::Image image;
    image.id = spec.image;
    image.workspace = spec.workspace;
    image.key = "image";
    await(catalog->images.put(image));
    model::App made;
    made.id = model::AppId(app);
    made.workspace = spec.workspace;
    made.environment = model::EnvironmentId("en-1");
    await(catalog->apps.put(made));
  }
  ~Shop() {
    await(deployments.stop());
    await(versions.stop());
  }
  static DeploymentOptions options(std::size_t keep) {
    DeploymentOptions options;
    options.keep_deployments = keep;
    return options;
  }

  void draft(const std::string& function, const std::string& version) {
    auto made = std::make_shared<model::FunctionSpec>(spec);
    made->id = model::FunctionId(function);
    made->app = model::AppId(app);
    made->version = version;
    made->name = function;
    made->definition = "the definition of " + version;
    if (!secret.empty()) {
      made->secrets = {model::SecretId(secret)};
    }
    const auto known = catalog->functions.find(function);
    catalog::Function record = known ? *known : catalog::Function{};
    record.id = made->id;
    record.app = made->app;
    record.workspace = made->workspace;
    record.tag = function;
    record.versions[version] = made;
    await(catalog->functions.put(std::move(record)));
  }
  Publication publication(const std::map<std::string, std::string>& functions) {
    Publication out;
    for (const auto& [function, version] : functions) {
      draft(function, version);
      out.functions[function] = {model::FunctionId(function), version};
    }
    out.state = model::AppState::deployed;
    out.name = "shop";
    out.by = "somebody";
    out.past = Publication::Past::kept;
    return out;
  }
  Result<model::App> run(async::Task<model::App> task) {
    Result<model::App> out = Error::internal("it has not ended");
    const auto body = [](async::Task<model::App> inner,
                         Result<model::App>& to) -> async::Task<void> {
      to = co_await std::move(inner);
      co_return ok();
    };
    await(body(std::move(task), out));
    return out;
  }
  Result<model::App> deploy(const std::map<std::string, std::string>& functions) {
    return run(deployments.publish(scope, app, publication(functions)));
  }
  Result<model::App> stage(const std::map<std::string, std::string>& functions) {
    return run(deployments.stage(scope, app, publication(functions)));
  }
  Result<model::App> go_back(int version, Kind kind = Kind::rollback, const std::string& key = {}) {
    return run(deployments.go_back(scope, app, {version, kind, "somebody else", key}));
  }
  // What calls of its functions get.
  std::map<std::string, std::string> live() {
    std::map<std::string, std::string> out;
    for (const auto& [tag, id] : catalog->apps.find(app)->functions) {
      const auto found = catalog->spec_of(id);
      out[tag] = found ? found->definition : "nothing";
    }
    return out;
  }
  std::set<std::string> kept_versions() {
    std::set<std::string> out;
    for (const auto& [id, version] : catalog->versions.all()) {
      out.insert(id);
    }
    return out;
  }
  std::string secret;
};

using Live = std::map<std::string, std::string>;
using Names = std::set<std::string>;

}  // namespace

TEST_CASE("an app goes back to what it consisted of, and that is one more deployment") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}, {"fu-c", "de-c2"}}));
  CHECK(!f.catalog->functions.find("fu-b"));
  const auto back = f.go_back(-1);
  REQUIRE(back);
  CHECK(back->version == 3);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}, {"fu-b", "the definition of de-b1"}});
  CHECK(!f.catalog->functions.find("fu-c"));
  const model::Deployment& entry = back->history.back();
  CHECK(entry.version == 3);
  CHECK(entry.kind == Kind::rollback);
  CHECK(entry.of == 1);
  CHECK(entry.by == "somebody else");
  CHECK(back->history.front().by == "somebody");
  // And back again: the one before the live one is what was rolled back.
  const auto again = f.go_back(-1);
  REQUIRE(again);
  CHECK(again->version == 4);
  CHECK(again->history.back().of == 2);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a2"}, {"fu-c", "the definition of de-c2"}});
  REQUIRE(f.go_back(1));
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}, {"fu-b", "the definition of de-b1"}});
}

TEST_CASE("what a deployment repeats is the same after a restart of the catalog") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  f.passes(10s);
  const auto opened = catalog::Catalog::open(*f.database);
  REQUIRE(opened);
  const auto past = (*opened)->versions_of(model::AppId(f.app));
  REQUIRE(past.size() == 2);
  CHECK(past.front()->number == 2);
  CHECK(past.back()->functions.at("fu-b") == model::Target(model::FunctionId("fu-b"), "de-b1"));
  CHECK((*opened)->versions.find("fu-b@de-b1"));
  CHECK((*opened)->versions.find("fu-a@de-a1"));
  CHECK((*opened)->versions.all().size() == 2);
}

TEST_CASE("only so many deployments are kept, and what only older ones had goes") {
  Shop f(3);
  for (int i = 1; i <= 6; ++i) {
    const std::string number = std::to_string(i);
    REQUIRE(f.deploy({{"fu-a", "de-a" + number}, {"fu-only" + number, "de-o" + number}}));
  }
  f.passes(10s);
  CHECK(f.catalog->app_versions.all().size() == 3);
  CHECK(f.kept_versions() == Names{"fu-a@de-a4", "fu-a@de-a5", "fu-only4@de-o4", "fu-only5@de-o5"});
  CHECK(f.go_back(3).error().code() == Code::not_found);
  CHECK(f.go_back(3).error().message().find("keep_deployments") != std::string::npos);
  CHECK(f.go_back(-3).error().code() == Code::failed_precondition);
  REQUIRE(f.go_back(4));
  CHECK(f.live() ==
        Live{{"fu-a", "the definition of de-a4"}, {"fu-only4", "the definition of de-o4"}});
  f.passes(10s);
  CHECK(f.kept_versions() == Names{"fu-a@de-a5", "fu-a@de-a6", "fu-only5@de-o5", "fu-only6@de-o6"});
}

TEST_CASE("a thousand deployments and rollbacks leave as much as a few") {
  Shop f(4);
  for (int i = 1; i <= 300; ++i) {
    const std::string number = std::to_string(i);
    REQUIRE(f.deploy({{"fu-a", "de-a" + number}, {"fu-b", "de-b" + number}}));
    if (i % 3 == 0) {
      REQUIRE(f.go_back(-1));
    }
  }
  f.passes(10s);
  CHECK(f.catalog->app_versions.all().size() == 4);
  CHECK(f.catalog->versions.all().size() <= 6);
  CHECK(f.catalog->apps.find(f.app)->history.size() == 100);
}

TEST_CASE("past half of its share a workspace keeps nothing to go back to, and still deploys") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  const std::uint64_t used = f.catalog->shares.of("ac-1").bytes;
  f.catalog->shares.limits.bytes = used + used / 2;
  REQUIRE(f.deploy({{"fu-a", "de-a3"}}));
  f.passes(10s);
  CHECK(f.catalog->app_versions.all().size() == 1);
  CHECK(f.kept_versions().empty());
  CHECK(f.go_back(-1).error().code() == Code::failed_precondition);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a3"}});
}

TEST_CASE("a workspace whose share is all but full deploys what is no larger") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}, {"fu-b", "de-b2"}}));
  Publication next = f.publication({{"fu-a", "de-a3"}});
  f.catalog->shares.limits.bytes = f.catalog->shares.of("ac-1").bytes;
  REQUIRE(f.run(f.deployments.publish(f.scope, f.app, std::move(next))));
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a3"}});
  f.passes(10s);
  CHECK(f.kept_versions().empty());
  CHECK(f.catalog->app_versions.all().empty());
  CHECK(f.go_back(-1).error().code() == Code::failed_precondition);
}

TEST_CASE("what is staged is not live before it is promoted, and is never rolled back to") {
  Shop f;
  CHECK(f.stage({{"fu-a", "de-a0"}}).error().code() == Code::failed_precondition);
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  const auto staged = f.stage({{"fu-a", "de-a2"}, {"fu-b", "de-b2"}});
  REQUIRE(staged);
  CHECK(staged->version == 1);
  CHECK(staged->history.back().version == 2);
  CHECK(staged->history.back().kind == Kind::staged);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}});
  CHECK(f.go_back(2).error().code() == Code::failed_precondition);
  CHECK(f.go_back(1, Kind::promotion).error().code() == Code::failed_precondition);
  // Others that are deployed meanwhile do not change it.
  const auto other = f.deploy({{"fu-a", "de-a3"}});
  REQUIRE(other);
  CHECK(other->version == 3);
  const auto promoted = f.go_back(2, Kind::promotion);
  REQUIRE(promoted);
  CHECK(promoted->version == 4);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a2"}, {"fu-b", "the definition of de-b2"}});
  REQUIRE(f.go_back(-1));
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a3"}});
}

TEST_CASE("a roll over gives each function an equal version of another name") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  const auto rolled = f.run(f.deployments.roll_over(f.scope, f.app, "somebody", ""));
  REQUIRE(rolled);
  CHECK(rolled->version == 2);
  CHECK(rolled->history.back().kind == Kind::rollover);
  CHECK(f.catalog->functions.find("fu-a")->live_version != "de-a1");
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}, {"fu-b", "the definition of de-b1"}});
  REQUIRE(f.go_back(1));
  CHECK(f.catalog->functions.find("fu-a")->live_version == "de-a1");
}

TEST_CASE("a rollback that is asked for again with its key is the same one") {
  Shop f;
  for (const char* version : {"de-a1", "de-a2", "de-a3"}) {
    REQUIRE(f.deploy({{"fu-a", version}}));
  }
  REQUIRE(f.go_back(-1, Kind::rollback, "key-1"));
  const auto again = f.go_back(-1, Kind::rollback, "key-1");
  REQUIRE(again);
  CHECK(again->version == 4);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a2"}});
  // Another one goes further.
  REQUIRE(f.go_back(-2, Kind::rollback, "key-2"));
  CHECK(f.catalog->apps.find(f.app)->version == 5);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a2"}});
  auto publication = f.publication({{"fu-a", "de-a4"}});
  publication.key = "key-3";
  REQUIRE(f.run(f.deployments.publish(f.scope, f.app, publication)));
  REQUIRE(f.run(f.deployments.publish(f.scope, f.app, publication)));
  CHECK(f.catalog->apps.find(f.app)->version == 6);
}

TEST_CASE("a rollback that lacks something changes nothing and names it") {
  Shop f;
  model::Secret secret;
  secret.id = model::SecretId("st-gone");
  secret.workspace = f.spec.workspace;
  secret.environment = model::EnvironmentId("en-1");
  secret.name = "key";
  f.await(f.catalog->secrets.put(secret));
  f.secret = "st-gone";
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  f.secret.clear();
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  f.await(f.catalog->secrets.erase("st-gone"));
  const auto back = f.go_back(1);
  REQUIRE(!back);
  CHECK(back.error().code() == Code::failed_precondition);
  CHECK(back.error().message().find("st-gone") != std::string::npos);
  CHECK(f.catalog->apps.find(f.app)->version == 2);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a2"}});
}

TEST_CASE("a rollback leaves alone what somebody else is about to deploy") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  const Publication next = f.publication({{"fu-a", "de-a3"}});
  REQUIRE(f.go_back(-1));
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}});
  REQUIRE(f.run(f.deployments.publish(f.scope, f.app, next)));
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a3"}});
}

TEST_CASE("another workspace has no app to go back in, and an app that has ended leaves nothing") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  const catalog::Scope other(*f.catalog, model::WorkspaceId("ac-2"));
  CHECK(f.run(f.deployments.go_back(other, f.app, {-1, Kind::rollback, "x", ""})).error().code() ==
        Code::not_found);
  CHECK(f.run(f.deployments.roll_over(other, f.app, "x", "")).error().code() == Code::not_found);
  CHECK(other.versions_of(model::AppId(f.app)).empty());
  f.await(f.deployments.stop_app(model::AppId(f.app), "it was removed", "somebody"));
  CHECK(f.catalog->apps.find(f.app)->stopped_by == "somebody");
  CHECK(f.go_back(-1).error().code() == Code::failed_precondition);
  f.passes(15min);
  CHECK(f.catalog->app_versions.all().empty());
  CHECK(f.kept_versions().empty());
}

TEST_CASE("what is kept of a function whose record was lost stays, for who can read it again") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  REQUIRE(f.deploy({{"fu-a", "de-a2"}}));
  const catalog::Function lost = *f.catalog->functions.find("fu-a");
  for (const auto& past : f.catalog->versions_of(model::AppId(f.app))) {
    f.await(f.catalog->app_versions.erase(past->id.str()));
  }
  f.await(f.catalog->functions.erase("fu-a"));
  f.versions.look_at({model::FunctionId("fu-a")});
  f.passes(10s);
  CHECK(f.kept_versions() == Names{"fu-a@de-a1"});
  f.await(f.catalog->functions.put(lost));
  f.versions.look_at({model::FunctionId("fu-a")});
  f.passes(10s);
  CHECK(f.kept_versions().empty());  // nothing names it any more
}

TEST_CASE("deployments bring so many tags") {
  Shop f;
  const auto with_tags = [&f](int from, int count) {
    Publication what = f.publication({{"fu-a", "de-a" + std::to_string(from)}});
    for (int i = from; i < from + count; ++i) {
      what.tags["tag" + std::to_string(i)] = "on";
    }
    return f.run(f.deployments.publish(f.scope, f.app, std::move(what)));
  };
  REQUIRE(with_tags(0, 60));
  REQUIRE(with_tags(30, 60));
  CHECK(f.catalog->apps.find(f.app)->tags.size() == 90);
  CHECK(with_tags(100, 11).error().code() == Code::resource_exhausted);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a30"}});
  CHECK(with_tags(100, 10));
}

TEST_CASE("nobody goes back further than an app has been") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}}));
  for (const int version : {-1, -2, -1'000'000, std::numeric_limits<int>::min()}) {
    CHECK(f.go_back(version).error().code() == Code::failed_precondition);
  }
  CHECK(f.go_back(0).error().code() == Code::not_found);
  CHECK(f.go_back(std::numeric_limits<int>::max()).error().code() == Code::not_found);
}

TEST_CASE("what a deployment drops and a rollback brings back meanwhile is not ended") {
  Shop f;
  REQUIRE(f.deploy({{"fu-a", "de-a1"}, {"fu-b", "de-b1"}}));
  f.spec.id = model::FunctionId("fu-b");
  f.call("fc-1");
  f.passes(1s);
  REQUIRE(f.worker.running.size() == 1);
  f.container(0).now.connections = 1;
  f.polls(0);
  f.passes(1s);
  REQUIRE(f.taken.size() == 1);
  Publication without = f.publication({{"fu-a", "de-a2"}});
  Result<model::App> deployed = Error::internal("it has not ended");
  Result<model::App> back = Error::internal("it has not ended");
  const auto into = [](async::Task<model::App> task, Result<model::App>& out) -> async::Task<void> {
    out = co_await std::move(task);
    co_return ok();
  };
  const Deployments::Again again{-1, Kind::rollback, "somebody else", ""};
  SUBCASE("in the same commit") {
    f.tasks.start("deployment",
                  into(f.deployments.publish(f.scope, f.app, std::move(without)), deployed));
    f.tasks.start("rollback", into(f.deployments.go_back(f.scope, f.app, again), back));
    f.passes(1s);
  }
  SUBCASE("while the deployment waits for what it takes the name of") {
    model::App old;
    old.id = model::AppId("ap-old");
    old.workspace = f.spec.workspace;
    old.environment = model::EnvironmentId("en-1");
    old.name = "boutique";
    old.state = model::AppState::deployed;
    f.await(f.catalog->apps.put(old));
    auto of_old = std::make_shared<model::FunctionSpec>(f.spec);
    of_old->id = model::FunctionId("fu-old");
    of_old->app = old.id;
    of_old->version = "de-old";
    catalog::Function record;
    record.id = of_old->id;
    record.app = old.id;
    record.workspace = old.workspace;
    record.live_version = of_old->version;
    record.versions[of_old->version] = of_old;
    f.await(f.catalog->functions.put(std::move(record)));
    f.spec.id = of_old->id;
    f.call("fc-old");
    f.passes(1s);
    REQUIRE(f.worker.running.size() == 2);
    f.container(1).now.connections = 1;
    f.polls(1);
    f.passes(1s);
    REQUIRE(f.taken.size() == 2);
    without.name = "boutique";
    f.tasks.start("deployment",
                  into(f.deployments.publish(f.scope, f.app, std::move(without)), deployed));
    f.passes(1s);
    CHECK(!deployed);  // the other app's container has its time to end
    f.tasks.start("rollback", into(f.deployments.go_back(f.scope, f.app, again), back));
    f.passes(40s);
    CHECK(!f.lives(1));
  }
  REQUIRE(deployed);
  REQUIRE(back);
  CHECK(f.live() == Live{{"fu-a", "the definition of de-a1"}, {"fu-b", "the definition of de-b1"}});
  CHECK(f.lives(0));
  f.finishes(f.taken[0], 0);
  REQUIRE(f.result_of("fc-1"));
  CHECK(f.result_of("fc-1")->outcome == model::OutcomeKind::success);
}
