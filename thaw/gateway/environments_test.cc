// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/environments.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

struct Land : control::FleetHouse {
  WebLabels labels{*catalog};
  KeptVersions versions{{loop, *catalog, *queue, *fleet}};
  Deployments deployments{{loop, *catalog, *queue, *logs, *fleet, labels, versions}, {}};
  std::unique_ptr<store::Database> state_database;
  std::unique_ptr<state::StateStore> state;
  std::optional<NamedStates> named_states;
  std::optional<Environments> environments;
  const model::WorkspaceId workspace{"ac-1"};
  const catalog::Scope scope{*catalog, workspace};

  Land() {
    store::DatabaseOptions options;
    options.path = folder / "state.db";
    options.migrations = state::migrations();
    auto opened = store::Database::open(loop, std::move(options));
    REQUIRE(opened);
    state_database = std::move(*opened);
    auto made = state::StateStore::open(loop, *state_database, {}, nullptr);
    REQUIRE(made);
    state = std::move(*made);
    named_states.emplace(NamedStateParts{loop, *catalog, *state}, NamedStateOptions{});
    environments.emplace(EnvironmentParts{loop, *catalog, deployments, *named_states});
    await(catalog->environments.put(
        {model::EnvironmentId("en-main"), workspace, "main", wall_now()}));
  }
  ~Land() {
    await(environments->stop());
    await(named_states->stop());
    await(state->stop());
    environments.reset();
    named_states.reset();
    state.reset();
    state_database->close();
  }
  Result<model::Environment> run(async::Task<model::Environment> task) {
    Result<model::Environment> out = Error::internal("it has not ended");
    const auto body = [](async::Task<model::Environment> inner,
                         Result<model::Environment>& to) -> async::Task<void> {
      to = co_await std::move(inner);
      co_return ok();
    };
    await(body(std::move(task), out));
    return out;
  }
  static async::Task<void> remove_one(Land& f, std::string name, catalog::Scope by,
                                      Result<void>& out) {
    out = co_await f.environments->remove(std::move(by), std::move(name), "somebody");
    co_return ok();
  }
  Result<void> remove(const std::string& name) {
    Result<void> out = Error::internal("it has not ended");
    await(remove_one(*this, name, scope, out));
    return out;
  }
  // With one of everything in it.
  model::EnvironmentId filled(const std::string& name) {
    const auto made = run(environments->create(workspace, name));
    REQUIRE(made);
    model::App app;
    app.id = model::AppId("ap-" + name);
    app.workspace = workspace;
    app.environment = made->id;
    app.name = "shop";
    app.state = model::AppState::deployed;
    await(catalog->apps.put(app));
    catalog::Function function;
    auto in_it = std::make_shared<model::FunctionSpec>(spec);
    in_it->id = function.id = model::FunctionId("fu-" + name);
    in_it->app = function.app = app.id;
    function.workspace = workspace;
    in_it->version = function.live_version = "de-1";
    function.versions = {{"de-1", in_it}};
    await(catalog->functions.put(function));
    model::Secret secret;
    secret.id = model::SecretId("st-" + name);
    secret.workspace = workspace;
    secret.environment = made->id;
    secret.name = "key";
    await(catalog->secrets.put(secret));
    model::Volume volume;
    volume.id = model::VolumeId("vo-" + name);
    volume.workspace = workspace;
    volume.environment = made->id;
    volume.name = "data";
    await(catalog->volumes.put(volume));
    model::Dict dict;
    dict.id = model::DictId("di-" + name);
    dict.workspace = workspace;
    dict.environment = made->id;
    dict.name = "notes";
    await(catalog->dicts.put(dict));
    model::ImageName picture;
    picture.id = model::ImageNameId("it-" + name);
    picture.workspace = workspace;
    picture.environment = made->id;
    picture.name = "trainer:v1";
    await(catalog->image_names.put(picture));
    return made->id;
  }
  bool holds_nothing(const model::EnvironmentId& id) {
    return scope.apps_in(id).empty() && scope.secrets_in(id).empty() &&
           scope.dicts_in(id).empty() && !scope.named_volume(id, "data") &&
           scope.image_names_in(id).empty();
  }
};

}  // namespace

TEST_CASE("an environment is deleted with all that is in it, and others stay") {
  Land f;
  const auto doomed = f.filled("doomed");
  const auto kept = f.filled("kept");
  CHECK(f.remove("doomed"));
  CHECK(!f.catalog->environments.find(doomed.str()));
  CHECK(f.holds_nothing(doomed));
  CHECK(!f.catalog->functions.find("fu-doomed"));
  CHECK(f.catalog->volumes.find("vo-doomed")->life == model::Volume::Life::doomed);
  CHECK(!f.holds_nothing(kept));
  CHECK(f.catalog->apps.find("ap-kept")->state == model::AppState::deployed);
  CHECK(f.remove("doomed").error().code() == Code::not_found);
  CHECK(f.catalog->lost_environment(f.workspace).empty());
}

TEST_CASE("the default environment is neither deleted nor renamed") {
  Land f;
  CHECK(f.remove("main").error().code() == Code::failed_precondition);
  CHECK(f.remove("").error().code() == Code::failed_precondition);
  Environments::Changes changes;
  changes.name = "other";
  CHECK(f.run(f.environments->update(f.scope, "main", changes)).error().code() ==
        Code::failed_precondition);
  Environments::Changes suffix;
  suffix.web_suffix = "www";
  CHECK(f.run(f.environments->update(f.scope, "", suffix)));
  CHECK(f.catalog->environments.find("en-main")->web_suffix == "www");
}

TEST_CASE("names are checked, and one is there once for each workspace") {
  Land f;
  for (const char* name : {"", "en-x", "En-x", "a b", "-a", ".a", "a.b"}) {
    CAPTURE(name);
    CHECK(f.run(f.environments->create(f.workspace, name)).error().code() ==
          Code::invalid_argument);
  }
  CHECK(f.run(f.environments->create(f.workspace, std::string(65, 'x'))).error().code() ==
        Code::invalid_argument);
  CHECK(f.run(f.environments->create(f.workspace, std::string(64, 'x'))));
  CHECK(f.run(f.environments->create(f.workspace, "dev")));
  CHECK(f.run(f.environments->create(f.workspace, "dev")).error().code() == Code::already_exists);
  CHECK(f.run(f.environments->create(model::WorkspaceId("ac-2"), "dev")));
  Environments::Changes changes;
  changes.name = "dev";
  CHECK(f.run(f.environments->create(f.workspace, "test")));
  CHECK(f.run(f.environments->update(f.scope, "test", changes)).error().code() ==
        Code::already_exists);
}

TEST_CASE("one that was marked for its end by a server that died ends with the next start") {
  Land f;
  const auto id = f.filled("torn");
  model::Environment ending = *f.catalog->environments.find(id.str());
  ending.life = model::Environment::Life::ending;
  f.await(f.catalog->environments.put(ending));
  CHECK(!f.scope.environment_named("torn"));
  const auto again = f.run(f.environments->create(f.workspace, "torn"));
  REQUIRE(again);
  f.environments->start();
  f.passes(10s);
  CHECK(!f.catalog->environments.find(id.str()));
  CHECK(f.holds_nothing(id));
  CHECK(f.catalog->environments.find(again->id.str()));
}

TEST_CASE("nothing is made in an environment that ends, and what comes meanwhile goes with it") {
  Land f;
  const auto id = f.filled("doomed");
  f.passes(100ms);
  Publication late;
  late.made.emplace();
  late.made->id = model::AppId("ap-late");
  late.made->workspace = f.workspace;
  late.made->environment = id;
  late.state = model::AppState::deployed;
  late.name = "late";
  const auto publishes = [&f, &late] {
    Result<model::App> out = Error::internal("it has not ended");
    const auto body = [](async::Task<model::App> task,
                         Result<model::App>& to) -> async::Task<void> {
      to = co_await std::move(task);
      co_return ok();
    };
    f.await(body(f.deployments.publish(f.scope, "ap-late", late), out));
    return out;
  };
  // A container works there: its end takes a moment.
  f.spec.id = model::FunctionId("fu-doomed");
  f.call("fc-1");
  f.passes(1s);
  f.polls(0);
  f.passes(1s);
  REQUIRE(f.taken.size() == 1);
  Result<void> removed = Error::internal("it has not ended");
  f.tasks.start("remove", Land::remove_one(f, "doomed", f.scope, removed));
  f.passes(100ms);
  REQUIRE(f.catalog->environments.find(id.str()));
  CHECK(!f.scope.is_open(id));
  CHECK(publishes().error().code() == Code::not_found);
  CHECK(!f.scope.environment_named("doomed"));
  CHECK(!catalog::Scope(*f.catalog, f.workspace, id).environment_named(""));
  // Who had found it before brings something still.
  model::Dict dict;
  dict.id = model::DictId("di-late");
  dict.workspace = f.workspace;
  dict.environment = id;
  dict.name = "late";
  f.await(f.catalog->dicts.put(dict));
  f.passes(60s);
  CHECK(removed);
  CHECK(f.holds_nothing(id));
  CHECK(!f.catalog->environments.find(id.str()));
  CHECK(publishes().error().code() == Code::not_found);
  CHECK(!f.catalog->apps.find("ap-late"));
}

TEST_CASE("two who delete one at once both see it gone, and a stranger deletes nothing") {
  Land f;
  const auto id = f.filled("twice");
  Result<void> stranger = Error::internal("it has not ended");
  f.await(Land::remove_one(f, "twice", catalog::Scope(*f.catalog, model::WorkspaceId("ac-2")),
                           stranger));
  CHECK(stranger.error().code() == Code::not_found);
  Result<void> first = Error::internal("it has not ended");
  Result<void> second = Error::internal("it has not ended");
  f.tasks.start("first", Land::remove_one(f, "twice", f.scope, first));
  f.tasks.start("second", Land::remove_one(f, "twice", f.scope, second));
  f.environments->start();
  f.passes(10s);
  CHECK(first);
  CHECK((second || second.error().code() == Code::not_found));
  CHECK(!f.catalog->environments.find(id.str()));
}
