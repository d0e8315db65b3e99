// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_labels.h"

#include <doctest/doctest.h>

#include "thaw/async/loop.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database = open_database();
  std::unique_ptr<catalog::Catalog> catalog = std::move(*catalog::Catalog::open(*database));
  WebLabels labels{*catalog};

  ~Fixture() {
    catalog.reset();
    database->close();
  }
  std::unique_ptr<store::Database> open_database() {
    store::DatabaseOptions options;
    options.path = folder / "t.db";
    options.migrations = catalog::migrations();
    return std::move(*store::Database::open(loop, std::move(options)));
  }
  model::App app(const std::string& id, const std::string& name, const std::string& workspace,
                 WallTime deployed_at = WallTime{}) {
    model::App made;
    made.id = model::AppId(id);
    made.name = name;
    made.workspace = model::WorkspaceId(workspace);
    made.environment = model::EnvironmentId("en-" + workspace);
    made.state = model::AppState::deployed;
    made.deployed_at = deployed_at;
    REQUIRE(loop.run_task(catalog->apps.put(made)));
    return made;
  }
  catalog::Function function(const std::string& id, const model::App& of,
                             const std::vector<std::string>& wanted) {
    auto spec = std::make_shared<model::FunctionSpec>();
    spec->id = model::FunctionId(id);
    spec->app = of.id;
    spec->workspace = of.workspace;
    spec->name = id;
    for (const std::string& label : wanted) {
      spec->web.push_back({label});
    }
    catalog::Function made;
    made.id = spec->id;
    made.app = of.id;
    made.workspace = of.workspace;
    made.tag = id;
    made.live_version = "de-1";
    made.versions["de-1"] = spec;
    REQUIRE(loop.run_task(catalog->functions.put(made)));
    return made;
  }
  std::string at(const std::string& label) const {
    const auto found = labels.function_of(label);
    return found ? found->id.str() : "nobody";
  }
};

}  // namespace

TEST_CASE("a function has the labels of its live version, and gives up the others") {
  Fixture f;
  const model::App app = f.app("ap-1", "one", "ac-1");
  f.labels.take(f.function("fu-1", app, {"a", "b"}));
  CHECK(f.at("a") == "fu-1");
  f.labels.take(f.function("fu-1", app, {"b", "c"}));
  CHECK(f.at("a") == "nobody");
  CHECK(f.at("b") == "fu-1");
  CHECK(f.at("c") == "fu-1");
  CHECK(f.labels.drop({model::FunctionId("fu-1")}) == 2);
  CHECK(f.at("c") == "nobody");
}

TEST_CASE("a label that is held is refused, but to its own app and to who replaces it") {
  Fixture f;
  const model::App app = f.app("ap-1", "one", "ac-1");
  f.labels.take(f.function("fu-1", app, {"a"}));
  const auto code_for = [&](const model::App& who) {
    const catalog::Function wants = f.function("fu-new", who, {"a"});
    const auto outcome = f.labels.check(who, *wants.live());
    return outcome ? std::string("ok") : outcome.error().message();
  };
  CHECK(code_for(app) == "ok");
  CHECK(code_for(f.app("ap-2", "one", "ac-1")) == "ok");
  CHECK(code_for(f.app("ap-3", "other", "ac-1")).find("held by app 'one'") != std::string::npos);
  // Whose it is in another workspace is nobody's business.
  const std::string told = code_for(f.app("ap-4", "one", "ac-2"));
  CHECK(told.find("held by another workspace") != std::string::npos);
}

TEST_CASE("after a start the app that was deployed last has the label, a stopped one none") {
  Fixture f;
  const WallTime long_ago{std::chrono::hours(1)};
  const WallTime lately{std::chrono::hours(2)};
  f.function("fu-old", f.app("ap-1", "one", "ac-1", long_ago), {"a", "b"});
  f.function("fu-new", f.app("ap-2", "two", "ac-2", lately), {"a"});
  model::App stopped = f.app("ap-3", "three", "ac-2", lately);
  stopped.state = model::AppState::stopped;
  REQUIRE(f.loop.run_task(f.catalog->apps.put(stopped)));
  f.function("fu-stopped", stopped, {"b", "c"});
  std::vector<std::string> found;
  f.labels.found = [&](const std::string& label, const model::WorkspaceId&) {
    found.push_back(label);
  };
  f.labels.rebuild();
  CHECK(f.at("a") == "fu-new");
  CHECK(f.at("b") == "fu-old");
  CHECK(f.at("c") == "nobody");
  CHECK(found.size() == 3);
}
