// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/models.h"

#include <doctest/doctest.h>

#include "thaw/catalog/model_cards.h"
#include "thaw/control/fleet_house_test.h"
#include "thaw/gateway/deployments.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

// A workspace "default" in which versions of functions are published one after the other.
struct Gallery : control::FleetHouse {
  WebLabels labels{*catalog};
  KeptVersions kept{{loop, *catalog, *queue, *fleet}};
  Deployments deployments{{loop, *catalog, *queue, *logs, *fleet, labels, kept}, {}};
  const catalog::Scope scope{*catalog, model::WorkspaceId("ac-1")};
  Models models;
  const std::string home = "ada";

  Gallery() {
    kept.start();
    model::Workspace workspace;
    workspace.id = spec.workspace;
    workspace.name = home;
    await(catalog->workspaces.put(workspace));
    model::Environment environment;
    environment.id = model::EnvironmentId("en-1");
    environment.workspace = spec.workspace;
    environment.name = "main";
    await(catalog->environments.put(environment));
    spec.environment = environment.id;
  }
  ~Gallery() {
    await(deployments.stop());
    await(kept.stop());
  }

  static std::string card(const std::string& owner, const std::string& name, char digit) {
    model::ModelCard card;
    card.owner = owner;
    card.name = name;
    card.id = std::string(64, digit);
    card.schema = "{\"of\": \"" + std::string(1, digit) + "\"}";
    return catalog::with_model_card(card, "own");
  }
  // Makes a version of the function live, with its app if that is not there.
  void publish(const std::string& function, const std::string& version,
               const std::string& definition) {
    auto made = std::make_shared<model::FunctionSpec>(spec);
    made->id = model::FunctionId("fu-" + function);
    made->app = model::AppId("ap-" + function);
    made->version = version;
    made->name = function;
    made->definition = definition;
    Publication publication;
    publication.functions[function] = {made->id, version, made, 10, {}};
    if (!catalog->apps.find(made->app.str())) {
      model::App app;
      app.id = made->app;
      app.workspace = made->workspace;
      app.environment = made->environment;
      publication.made = app;
    }
    publication.state = model::AppState::deployed;
    publication.name = function;
    const auto publish_it = [](Gallery& gallery, std::string app,
                               Publication what) -> async::Task<void> {
      THAW_CO_TRY([[maybe_unused]] const model::App published,
                  co_await gallery.deployments.publish(gallery.scope, app, std::move(what)));
      co_return ok();
    };
    await(publish_it(*this, made->app.str(), std::move(publication)));
  }
  void set_live(const std::string& function, const std::string& version) {
    const auto set = [](Gallery& gallery, std::string id, std::string chosen) -> async::Task<void> {
      std::vector<model::WeightedVersion> versions{{chosen, 1}};
      THAW_CO_TRY([[maybe_unused]] const model::Alias alias,
                  co_await gallery.kept.set_alias(gallery.scope, model::FunctionId(id), "live",
                                                  std::move(versions)));
      co_return ok();
    };
    await(set(*this, "fu-" + function, version));
  }
};

}  // namespace

TEST_CASE("a model is found by its owner and name, and its versions are the newest first") {
  Gallery gallery;
  const std::string& home = gallery.home;
  gallery.publish("hello", "de-1", Gallery::card(home, "hello", '1'));
  gallery.publish("hello", "de-2", Gallery::card(home, "hello", '2'));
  gallery.publish("meta-llama-3-1", "de-3", Gallery::card("meta", "llama-3.1", '3'));
  gallery.publish("plain", "de-4", "own");

  const auto model = gallery.models.find(gallery.scope, home, "hello");
  REQUIRE(model);
  CHECK(model->latest.card->id == std::string(64, '2'));
  const auto versions = gallery.models.versions(gallery.scope, *model);
  REQUIRE(versions.size() == 2);
  CHECK(versions[0].card->id == std::string(64, '2'));
  CHECK(versions[1].card->schema == "{\"of\": \"1\"}");
  CHECK(versions[0].number > versions[1].number);

  CHECK(gallery.models.list(gallery.scope).size() == 2);
  CHECK(gallery.models.find(gallery.scope, "meta", "llama-3.1"));
  // The same function, and not the same model.
  CHECK_FALSE(gallery.models.find(gallery.scope, "meta", "llama.3.1"));
  CHECK_FALSE(gallery.models.find(gallery.scope, home, "plain"));
  CHECK_FALSE(gallery.models.find(gallery.scope, "..", "hello"));
}

TEST_CASE("a version of a model is found by its id, whichever model it is of") {
  Gallery gallery;
  gallery.publish("hello", "de-1", Gallery::card(gallery.home, "hello", '1'));
  gallery.publish("hello", "de-2", Gallery::card(gallery.home, "hello", '2'));
  for (const std::string& id : {std::string(64, '1'), std::string("de-1")}) {
    const auto found = gallery.models.version(gallery.scope, id);
    REQUIRE(found);
    CHECK(found->second.spec->version == "de-1");
    CHECK(found->first.latest.spec->version == "de-2");
  }
  CHECK_FALSE(gallery.models.version(gallery.scope, std::string(64, '9')));
  const catalog::Scope other(*gallery.catalog, model::WorkspaceId("ac-other"));
  CHECK_FALSE(gallery.models.version(other, "de-1"));
  CHECK(gallery.models.list(other).empty());
}

TEST_CASE("the latest version of a model is the one that its plain address gives") {
  Gallery gallery;
  gallery.publish("hello", "de-1", Gallery::card(gallery.home, "hello", '1'));
  gallery.publish("hello", "de-2", Gallery::card(gallery.home, "hello", '2'));
  gallery.set_live("hello", "de-1");
  const auto model = gallery.models.find(gallery.scope, gallery.home, "hello");
  REQUIRE(model);
  CHECK(model->latest.card->id == std::string(64, '1'));
  CHECK(gallery.models.versions(gallery.scope, *model).size() == 2);
}

TEST_CASE("what the function was before it was this model is no version of it") {
  Gallery gallery;
  gallery.publish("hello", "de-0", "own");
  gallery.publish("hello", "de-1", Gallery::card(gallery.home, "HELLO", '1'));
  gallery.publish("hello", "de-2", Gallery::card(gallery.home, "hello", '2'));
  const auto model = gallery.models.find(gallery.scope, gallery.home, "hello");
  REQUIRE(model);
  CHECK(gallery.models.versions(gallery.scope, *model).size() == 1);
}
