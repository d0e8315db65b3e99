// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/catalog.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "thaw/async/loop.h"
#include "thaw/codec/json.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using catalog::Catalog;

namespace {

struct Folder {
  std::string path = std::filesystem::temp_directory_path() /
                     ("thaw-catalog-" + std::to_string(::getpid()) + ".db");
  Folder() { clear(); }
  ~Folder() { clear(); }
  void clear() const {
    for (const char* suffix : {"", "-wal", "-shm", "-commits"}) {
      std::filesystem::remove(path + suffix);
    }
  }
};

std::unique_ptr<store::Database> open_database(async::Loop& loop, const Folder& folder) {
  store::DatabaseOptions options;
  options.path = folder.path;
  options.migrations = catalog::migrations();
  return std::move(*store::Database::open(loop, options));
}

catalog::Function example_function() {
  auto spec = std::make_shared<model::FunctionSpec>();
  spec->id = model::FunctionId("fu-1");
  spec->app = model::AppId("ap-1");
  spec->version = "de-1";
  spec->name = "square";
  spec->secrets = {model::SecretId("st-1")};
  spec->volumes = {
      {model::VolumeId("vo-1"), "/data", model::VolumeMount::Access::read_only, "sub/path"}};
  spec->scaling.scaledown_window = 7s;
  spec->scaling.min_containers = 2;
  spec->timeout = 11s;
  spec->reach = model::Reach::inputs;
  spec->snapshot_at = model::SnapshotAt::ready;
  spec->retry.max_retries = 3;
  spec->web = {{"label", "method", model::WebEndpoint::Kind::server_port, 8000,
                model::WebEndpoint::Callers::token_holders}};
  spec->dialect = "some";
  spec->push = model::PushContract{};
  spec->push->wire = model::PushContract::Wire::h2c;
  spec->push->port = 5000;
  spec->push->ready = {
      model::PushContract::Ready::By::field, "/health", "/status", {"READY"}, {"FAILED"}};
  spec->push->health_path = "/health";
  spec->push->target = "/run";
  spec->push->drop_headers = {"x-key"};
  spec->push->arguments = {"serve"};
  spec->push->drain_path = "/end";
  spec->push->restored_path = "/renew";
  spec->push->stop_signal = 3;
  spec->definition = std::string("\0\xff binary", 9);
  spec->parameters = std::string("\x01\x00", 2);
  catalog::Function function;
  function.id = spec->id;
  function.app = spec->app;
  function.tag = "square";
  function.live_version = "de-1";
  function.versions["de-1"] = spec;
  return function;
}

}  // namespace

TEST_CASE("a function is the same after a restart") {
  const Folder folder;
  {
    async::Loop loop;
    const auto database = open_database(loop, folder);
    const auto catalog = std::move(*Catalog::open(*database));
    REQUIRE(loop.run_task(catalog->functions.put(example_function())));
    database->close();
  }
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  const auto function = catalog->functions.find("fu-1");
  REQUIRE(function);
  const auto live = function->live();
  REQUIRE(live);
  CHECK(live->app == model::AppId("ap-1"));
  CHECK(live->secrets.at(0) == model::SecretId("st-1"));
  CHECK(live->volumes.at(0).access == model::VolumeMount::Access::read_only);
  CHECK(live->volumes.at(0).sub_path == "sub/path");
  CHECK(live->scaling.scaledown_window == 7s);
  CHECK(live->scaling.min_containers == 2);
  CHECK(live->timeout == 11s);
  CHECK(live->retry.max_retries == 3);
  CHECK(live->dialect == "some");
  REQUIRE(live->push);
  CHECK(live->push->port == 5000);
  CHECK(live->push->wire == model::PushContract::Wire::h2c);
  CHECK(live->push->ready.by == model::PushContract::Ready::By::field);
  CHECK(live->push->ready.path == "/health");
  CHECK(live->push->ready.pointer == "/status");
  CHECK(live->push->ready.good == std::vector<std::string>{"READY"});
  CHECK(live->push->ready.bad == std::vector<std::string>{"FAILED"});
  CHECK(live->push->health_path == "/health");
  CHECK(live->push->target == "/run");
  CHECK(live->push->drop_headers == std::vector<std::string>{"x-key"});
  CHECK(live->push->arguments == std::vector<std::string>{"serve"});
  CHECK(live->push->drain_path == "/end");
  CHECK(live->push->restored_path == "/renew");
  CHECK(live->snapshot_at == model::SnapshotAt::ready);
  CHECK(live->push->stop_signal == 3);
  CHECK(live->web.at(0).port == 8000);
  CHECK(live->web.at(0).kind == model::WebEndpoint::Kind::server_port);
  CHECK(live->web.at(0).callers == model::WebEndpoint::Callers::token_holders);
  CHECK(live->definition == std::string("\0\xff binary", 9));
  CHECK(live->parameters == std::string("\x01\x00", 2));
  database->close();
}

TEST_CASE("a version of before snapshots had a moment has the one that its program says") {
  catalog::Function function = example_function();
  const auto read_without = [&function](bool is_server) {
    auto spec = std::make_shared<model::FunctionSpec>(*function.versions["de-1"]);
    spec->push = is_server ? spec->push : std::nullopt;
    function.versions["de-1"] = spec;
    catalog::StoredRecord record = catalog::to_record(function);
    codec::Json json = *codec::parse_json(record.json);
    json["versions"][0].erase("snapshot_at");
    record.json = codec::dump_json(json);
    const auto read = catalog::from_record<catalog::Function>(record);
    REQUIRE(read);
    return read->live()->snapshot_at;
  };
  CHECK(read_without(true) == model::SnapshotAt::never);
  CHECK(read_without(false) == model::SnapshotAt::asked);
}

TEST_CASE("an app that is erased takes its functions and anonymous secrets along") {
  const Folder folder;
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  model::App app;
  app.id = model::AppId("ap-1");
  model::Secret anonymous;
  anonymous.id = model::SecretId("st-1");
  anonymous.owner = app.id;
  model::Secret named = anonymous;
  named.id = model::SecretId("st-2");
  named.name = "kept";
  REQUIRE(loop.run_task(catalog->apps.put(app)));
  REQUIRE(loop.run_task(catalog->functions.put(example_function())));
  REQUIRE(loop.run_task(catalog->secrets.put(anonymous)));
  REQUIRE(loop.run_task(catalog->secrets.put(named)));
  REQUIRE(loop.run_task(catalog->erase_app(app.id)));
  CHECK_FALSE(catalog->apps.find("ap-1"));
  CHECK_FALSE(catalog->functions.find("fu-1"));
  CHECK_FALSE(catalog->secrets.find("st-1"));
  CHECK(catalog->secrets.find("st-2"));
  database->close();
}

TEST_CASE("a volume is found by its name in its environment, until it is doomed") {
  const Folder folder;
  model::Volume volume;
  volume.id = model::VolumeId("vo-1");
  volume.workspace = model::WorkspaceId("ac-1");
  volume.environment = model::EnvironmentId("en-1");
  volume.name = "weights";
  volume.format = 1;
  volume.created_at = WallTime(std::chrono::microseconds(123456789));
  {
    async::Loop loop;
    const auto database = open_database(loop, folder);
    const auto catalog = std::move(*Catalog::open(*database));
    REQUIRE(loop.run_task(catalog->volumes.put(volume)));
    database->close();
  }
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  const auto found = catalog->named_volume(volume.environment, "weights");
  REQUIRE(found);
  CHECK(found->id == volume.id);
  CHECK(found->workspace == volume.workspace);
  CHECK(found->format == 1);
  CHECK(found->created_at == volume.created_at);
  CHECK_FALSE(catalog->named_volume(model::EnvironmentId("en-2"), "weights"));
  CHECK_FALSE(catalog->named_volume(volume.environment, ""));
  volume.life = model::Volume::Life::doomed;
  REQUIRE(loop.run_task(catalog->volumes.put(volume)));
  CHECK_FALSE(catalog->named_volume(volume.environment, "weights"));
  database->close();
}

TEST_CASE("a damaged record is data loss, not a crash") {
  CHECK(catalog::from_record<model::App>({"{\"id\": 5}", ""}).error().code() == Code::data_loss);
  CHECK(catalog::from_record<catalog::Function>({"[", ""}).error().code() == Code::data_loss);
}

TEST_CASE("what is looked up by name or owner is found after changes, removals and a restart") {
  const Folder folder;
  async::Loop loop;
  const auto app = [](const char* id, const char* name, model::AppState state) {
    model::App value;
    value.id = model::AppId(id);
    value.environment = model::EnvironmentId("en-1");
    value.name = name;
    value.state = state;
    return value;
  };
  const auto secret = [](const char* id, const char* name, const char* owner) {
    model::Secret value;
    value.id = model::SecretId(id);
    value.environment = model::EnvironmentId("en-1");
    value.name = name;
    value.owner = model::AppId(owner);
    return value;
  };
  // NOLINTNEXTLINE(cppcoreguidelines-avoid-capturing-lambda-coroutines): outlives its run
  const auto change = [&](Catalog& catalog) -> async::Task<void> {
    THAW_CO_TRY_VOID(co_await catalog.apps.put(app("ap-old", "shop", model::AppState::stopped)));
    THAW_CO_TRY_VOID(co_await catalog.apps.put(app("ap-1", "shop", model::AppState::deployed)));
    THAW_CO_TRY_VOID(co_await catalog.functions.put(example_function()));
    THAW_CO_TRY_VOID(co_await catalog.secrets.put(secret("st-1", "key", "")));
    THAW_CO_TRY_VOID(co_await catalog.secrets.put(secret("st-2", "", "ap-1")));
    THAW_CO_TRY_VOID(co_await catalog.secrets.put(secret("st-3", "", "ap-2")));
    co_return ok();
  };
  const auto check = [](const Catalog& catalog) {
    const model::EnvironmentId environment("en-1");
    REQUIRE(catalog.deployed_app(environment, "shop"));
    CHECK(catalog.deployed_app(environment, "shop")->id.str() == "ap-1");
    CHECK_FALSE(catalog.deployed_app(environment, ""));
    CHECK_FALSE(catalog.deployed_app(model::EnvironmentId("en-2"), "shop"));
    CHECK(catalog.functions_of(model::AppId("ap-1")).size() == 1);
    CHECK(catalog.functions_of(model::AppId("ap-2")).empty());
    REQUIRE(catalog.named_secret(environment, "key"));
    CHECK_FALSE(catalog.named_secret(environment, ""));
  };
  {
    const auto database = open_database(loop, folder);
    const auto catalog = std::move(*Catalog::open(*database));
    REQUIRE(loop.run_task(change(*catalog)));
    check(*catalog);
  }
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  check(*catalog);
  // Another name: the old one finds nothing. A second put of one id is one entry.
  REQUIRE(loop.run_task(catalog->apps.put(app("ap-1", "bazaar", model::AppState::deployed))));
  CHECK_FALSE(catalog->deployed_app(model::EnvironmentId("en-1"), "shop"));
  CHECK(catalog->deployed_app(model::EnvironmentId("en-1"), "bazaar"));
  REQUIRE(loop.run_task(catalog->functions.put(example_function())));
  CHECK(catalog->functions_of(model::AppId("ap-1")).size() == 1);
  REQUIRE(loop.run_task(catalog->erase_app(model::AppId("ap-1"))));
  CHECK(catalog->functions_of(model::AppId("ap-1")).empty());
  CHECK_FALSE(catalog->secrets.find("st-2"));
  CHECK(catalog->secrets.find("st-3"));
  CHECK(catalog->secrets.find("st-1"));
}

TEST_CASE("versions that are kept and aliases are the same after a restart") {
  const Folder folder;
  catalog::Function before = example_function();
  before.number = 7;
  before.keep = 10;
  before.published_at = WallTime(std::chrono::seconds(1'900'000'000));
  catalog::Function after = before;
  auto spec = std::make_shared<model::FunctionSpec>(*before.live());
  spec->version = "de-2";
  after.versions = {{"de-2", spec}};
  after.live_version = "de-2";
  after.number = 8;
  {
    async::Loop loop;
    const auto database = open_database(loop, folder);
    const auto catalog = std::move(*Catalog::open(*database));
    catalog::Change change;
    change.put(catalog->functions, after);
    change.put(catalog->versions, catalog::kept_version(before));
    change.put(catalog->aliases, {model::alias_id(before.id, "old"),
                                  before.id,
                                  model::WorkspaceId("ac-1"),
                                  "old",
                                  {{"de-1", 3}}});
    change.put(catalog->app_versions, {catalog::app_version_id(model::AppId("ap-1"), 3),
                                       model::AppId("ap-1"),
                                       model::WorkspaceId("ac-1"),
                                       3,
                                       {{"f", {model::FunctionId("fu-gone"), "de-9"}}},
                                       {{"C", model::ClassId("cs-1")}}});
    REQUIRE(loop.run_task(catalog->apply(std::move(change))));
    database->close();
  }
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  CHECK(catalog->functions.find("fu-1")->number == 8);
  CHECK(catalog->functions.find("fu-1")->keep == 10);
  CHECK(catalog->spec_of(model::FunctionId("fu-1"))->version == "de-2");
  const auto old = catalog->spec_of({model::FunctionId("fu-1"), "de-1"});
  REQUIRE(old);
  CHECK(old->id == model::FunctionId("fu-1"));
  CHECK(old->app == model::AppId("ap-1"));
  CHECK(old->definition == before.live()->definition);
  CHECK(old->parameters == before.live()->parameters);
  CHECK(old->push->health_path == "/health");
  CHECK(!catalog->spec_of({model::FunctionId("fu-1"), "de-3"}));
  CHECK(!catalog->spec_of({model::FunctionId("fu-2"), "de-1"}));
  REQUIRE(catalog->versions_of(model::FunctionId("fu-1")).size() == 1);
  CHECK(catalog->versions_of(model::FunctionId("fu-1")).front()->number == 7);
  CHECK(catalog->versions_of(model::FunctionId("fu-1")).front()->published_at ==
        before.published_at);
  const auto alias = catalog->alias(model::FunctionId("fu-1"), "old");
  REQUIRE(alias);
  CHECK(alias->versions == std::vector<model::WeightedVersion>{{"de-1", 3}});
  const auto past = catalog->versions_of(model::AppId("ap-1"));
  REQUIRE(past.size() == 1);
  CHECK(past.front()->number == 3);
  CHECK(past.front()->functions.at("f") == model::Target(model::FunctionId("fu-gone"), "de-9"));
  CHECK(past.front()->classes.at("C") == model::ClassId("cs-1"));
  CHECK(catalog->app_versions.names("fu-gone@de-9"));
  std::size_t seen = 0;
  catalog->each_spec([&seen](const model::FunctionSpec&) { ++seen; });
  CHECK(seen == 2);
  REQUIRE(loop.run_task(catalog->erase_app(model::AppId("ap-1"))));
  CHECK(catalog->versions.all().empty());
  CHECK(catalog->app_versions.all().empty());
  CHECK(catalog->aliases.all().empty());
}

// As a server before there were versions beside the live one has written it.
TEST_CASE("a catalog of before versions were kept is opened, and its functions run") {
  const Folder folder;
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto write = [](store::Database& to) -> async::Task<void> {
    std::function<Result<void>(store::Transaction&)> work =
        [](store::Transaction& transaction) -> Result<void> {
      store::testing::Sql& sql = store::testing::sql_of(transaction);
      THAW_TRY_VOID(sql.run(
          "INSERT INTO catalog_objects VALUES ('function', 'fu-1', ?, ?, 1900000000000000)",
          {R"({"app":"ap-1","base":"","id":"fu-1","live":"de-1","tag":"square","versions":[)"
           R"({"cpu":0,"cpu_limit":0,"definition_bytes":3,"dialect":"some","disk":0,)"
           R"("environment":"en-1","gpu":"","image":"im-1","memory":0,"memory_limit":0,)"
           R"("mounts":[],"name":"square","network":0,"parameters":"","reach":0,"retries":0,)"
           R"("retry_backoff":2.0,"retry_initial_ns":1000000000,"retry_max_ns":60000000000,)"
           R"("scaling":{"batch":0,"buffer":0,"freezing":0,"inputs":1,"linger_ns":0,"max":0,)"
           R"("min":0,"target_inputs":0,"use":0,"window_by":0,"window_ns":60000000000},)"
           R"("secrets":[],"startup_ns":300000000000,"timeout_ns":300000000000,)"
           R"("version":"de-1","volumes":[],"web":[],"workspace":"ac-1"}],)"
           R"("workspace":"ac-1"})",
           store::testing::SqlBlob{"abc"}}));
      return ok();
    };
    co_return co_await to.write<void>(std::move(work));
  };
  REQUIRE(loop.run_task(write(*database)));
  const auto catalog = std::move(*Catalog::open(*database));
  const auto function = catalog->functions.find("fu-1");
  REQUIRE(function);
  REQUIRE(function->live());
  CHECK(function->live()->definition == "abc");
  CHECK(function->keep == 0);
  CHECK(function->number == 0);
  CHECK(catalog->versions_of(function->id).empty());
  CHECK(catalog->spec_of({function->id, "de-1"}) == function->live());
  REQUIRE(loop.run_task(catalog->functions.put(*function)));
}
