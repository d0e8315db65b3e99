// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/scope.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "thaw/async/loop.h"

namespace thaw::catalog {

namespace {

// Two workspaces, a and b, each with the environments main and dev and the same names in each.
struct TwoTenants {
  std::string path =
      std::filesystem::temp_directory_path() / ("thaw-scope-" + std::to_string(::getpid()) + ".db");
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<Catalog> catalog;

  TwoTenants() {
    clear();
    store::DatabaseOptions options;
    options.path = path;
    options.migrations = migrations();
    database = std::move(*store::Database::open(loop, options));
    catalog = std::move(*Catalog::open(*database));
    for (const std::string workspace : {"a", "b"}) {
      put(catalog->workspaces, {model::WorkspaceId("ac-" + workspace), workspace});
      fill(workspace, "main");
      fill(workspace, "dev");
      put(catalog->images, [&] {
        model::Image image;
        image.id = model::ImageId("im-" + workspace);
        image.workspace = model::WorkspaceId("ac-" + workspace);
        return image;
      }());
    }
  }
  ~TwoTenants() {
    catalog.reset();
    database.reset();
    clear();
  }
  void clear() const {
    for (const char* suffix : {"", "-wal", "-shm", "-commits"}) {
      std::filesystem::remove(path + suffix);
    }
  }
  template <class T>
  void put(ObjectTable<T>& table, T value) {
    REQUIRE(loop.run_task(table.put(std::move(value))));
  }
  void fill(const std::string& workspace, const std::string& environment) {
    const std::string place = workspace + environment;
    const model::WorkspaceId owner("ac-" + workspace);
    const model::EnvironmentId where("en-" + place);
    model::Environment made;
    made.id = where;
    made.workspace = owner;
    made.name = environment;
    put(catalog->environments, std::move(made));
    model::App app;
    app.id = model::AppId("ap-" + place);
    app.workspace = owner;
    app.environment = where;
    app.name = "shop";
    app.state = model::AppState::deployed;
    put(catalog->apps, std::move(app));
    Function function;
    function.id = model::FunctionId("fu-" + place);
    function.app = model::AppId("ap-" + place);
    put(catalog->functions, std::move(function));
    model::Class cls;
    cls.id = model::ClassId("cs-" + place);
    cls.app = model::AppId("ap-" + place);
    put(catalog->classes, std::move(cls));
    model::Secret secret;
    secret.id = model::SecretId("st-" + place);
    secret.workspace = owner;
    secret.environment = where;
    secret.name = "key";
    put(catalog->secrets, std::move(secret));
    model::Volume volume;
    volume.id = model::VolumeId("vo-" + place);
    volume.workspace = owner;
    volume.environment = where;
    volume.name = "data";
    put(catalog->volumes, std::move(volume));
    model::ImageName name;
    name.id = model::ImageNameId("it-" + place);
    name.workspace = owner;
    name.environment = where;
    name.name = "trainer:v1";
    name.revisions = {{"ir-1", model::ImageId("im-old-" + place), {}, ""},
                      {"ir-2", model::ImageId("im-new-" + place), {}, ""}};
    put(catalog->image_names, std::move(name));
  }
};

// What a scope finds of all that one environment has: by id, by name, in lists.
int found_in(const Scope& scope, const std::string& place) {
  const model::EnvironmentId where("en-" + place);
  return (scope.app("ap-" + place) ? 1 : 0) + (scope.function("fu-" + place) ? 1 : 0) +
         (scope.app_class("cs-" + place) ? 1 : 0) + (scope.secret("st-" + place) ? 1 : 0) +
         (scope.volume("vo-" + place) ? 1 : 0) + (scope.environment(where) ? 1 : 0) +
         (scope.deployed_app(where, "shop") ? 1 : 0) + (scope.named_secret(where, "key") ? 1 : 0) +
         (scope.named_volume(where, "data") ? 1 : 0) +
         (scope.image_name(where, "trainer:v1") ? 1 : 0) +
         static_cast<int>(scope.image_names_in(where).size()) +
         static_cast<int>(scope.apps_in(where).size() + scope.secrets_in(where).size() +
                          scope.volumes_in(where).size() +
                          scope.functions_of(model::AppId("ap-" + place)).size());
}
constexpr int everything = 15;

}  // namespace

TEST_CASE("a workspace sees all of its own and nothing of another") {
  TwoTenants tenants;
  const Scope scope(*tenants.catalog, model::WorkspaceId("ac-a"));
  CHECK(found_in(scope, "amain") == everything);
  CHECK(found_in(scope, "adev") == everything);
  CHECK(found_in(scope, "bmain") == 0);
  CHECK(found_in(scope, "never") == 0);
  CHECK(scope.image("im-a"));
  CHECK(!scope.image("im-b"));
  CHECK(scope.environments().size() == 2);
  CHECK((*scope.environment_named(""))->id.str() == "en-amain");
  CHECK((*scope.environment_named("dev"))->id.str() == "en-adev");
  CHECK(scope.workspace()->name == "a");
}

TEST_CASE("a mount is its workspace's own, but for what the server gives to all") {
  TwoTenants tenants;
  const auto put = [&](const std::string& id, const model::WorkspaceId& owner,
                       const std::string& name) {
    model::Mount mount;
    mount.id = model::MountId(id);
    mount.workspace = owner;
    mount.name = name;
    tenants.put(tenants.catalog->mounts, std::move(mount));
  };
  put("mo-a", model::WorkspaceId("ac-a"), "");
  put("mo-b", model::WorkspaceId("ac-b"), "");
  put("mo-bnamed", model::WorkspaceId("ac-b"), "tools");
  put("mo-given", tenants.catalog->default_workspace(), "given");
  const Scope scope(*tenants.catalog, model::WorkspaceId("ac-a"));
  CHECK(scope.mount("mo-a"));
  CHECK(!scope.mount("mo-b"));
  CHECK(!scope.mount("mo-bnamed"));
  CHECK(scope.mount("mo-given"));
}

TEST_CASE("one that is narrowed finds its functions, and nothing that is of none") {
  TwoTenants tenants;
  const model::EnvironmentId where("en-amain");
  model::App bank;
  bank.id = model::AppId("ap-bank");
  bank.workspace = model::WorkspaceId("ac-a");
  bank.environment = where;
  bank.name = "bank";
  bank.state = model::AppState::deployed;
  tenants.put(tenants.catalog->apps, std::move(bank));
  for (const char* tag : {"pay", "refund", "Desk.*"}) {
    Function function;
    function.id = model::FunctionId(std::string("fu-") + tag);
    function.app = model::AppId("ap-bank");
    function.tag = tag;
    tenants.put(tenants.catalog->functions, std::move(function));
  }
  const Scope whole(*tenants.catalog, model::WorkspaceId("ac-a"));
  CHECK(whole.functions_of(model::AppId("ap-bank")).size() == 3);
  const Scope narrow = whole.narrowed_to({model::all_scopes, "bank/pay"});
  CHECK(narrow.app("ap-bank"));
  CHECK(narrow.deployed_app(where, "bank"));
  CHECK(narrow.function("fu-pay"));
  CHECK(!narrow.function("fu-refund"));
  CHECK(narrow.functions_of(model::AppId("ap-bank")).size() == 1);
  CHECK(narrow.names(model::AppId("ap-bank"), "pay"));
  CHECK(!narrow.names(model::AppId("ap-bank"), "refund"));
  CHECK(!narrow.names(model::AppId("ap-gone"), "pay"));
  CHECK(narrow.environment(where));
  CHECK(narrow.apps_in(where).size() == 1);
  CHECK(!narrow.deployed_app(where, "shop"));
  CHECK(found_in(narrow, "amain") == 2);  // the environment, and the app in its list
  CHECK(!narrow.image("im-a"));
  const Scope nothing = whole.narrowed_to({model::all_scopes, "other"});
  CHECK(found_in(nothing, "amain") == 1);
  CHECK(found_in(whole.narrowed_to({model::all_scopes, ""}), "adev") == everything);
  const Scope other(*tenants.catalog, model::WorkspaceId("ac-b"));
  CHECK(!other.narrowed_to({model::all_scopes, "*"}).function("fu-pay"));
}

TEST_CASE("who acts in one environment sees that one only") {
  TwoTenants tenants;
  const Scope scope(*tenants.catalog, model::WorkspaceId("ac-a"), model::EnvironmentId("en-adev"));
  CHECK(found_in(scope, "adev") == everything);
  CHECK(found_in(scope, "amain") == 0);
  CHECK(found_in(scope, "bdev") == 0);
  CHECK(scope.image("im-a"));
  CHECK((*scope.environment_named(""))->id.str() == "en-adev");
  CHECK(scope.environments().size() == 1);
  // An environment that exists and one that does not are the same.
  const auto other = scope.environment_named("main");
  const auto none = scope.environment_named("none");
  CHECK(other.error().code() == none.error().code());
}

TEST_CASE("an image that a name stands for now is in use, and what it stood for is not") {
  TwoTenants tenants;
  CHECK(tenants.catalog->is_image_in_use("im-new-amain"));
  CHECK(!tenants.catalog->is_image_in_use("im-old-amain"));
  REQUIRE(tenants.loop.run_task(tenants.catalog->image_names.erase("it-amain")));
  CHECK(!tenants.catalog->is_image_in_use("im-new-amain"));
}

}  // namespace thaw::catalog
