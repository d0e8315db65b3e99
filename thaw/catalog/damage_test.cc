// SPDX-License-Identifier: Apache-2.0
// A record that cannot be read costs that object, whatever is wrong with it.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "thaw/async/loop.h"
#include "thaw/catalog/catalog.h"
#include "thaw/codec/json.h"
#include "thaw/store/set_aside.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/store/testing/sql.h"

using namespace thaw;
using catalog::Catalog;
using codec::Json;

namespace {

std::unique_ptr<store::Database> open_database(async::Loop& loop, const store::TempFolder& folder) {
  store::DatabaseOptions options;
  options.path = folder / "thaw.db";
  options.migrations = catalog::migrations();
  options.sync = store::DatabaseOptions::Sync::normal;
  auto database = store::Database::open(loop, options);
  REQUIRE(database);
  return std::move(*database);
}

std::shared_ptr<model::FunctionSpec> example_spec() {
  auto spec = std::make_shared<model::FunctionSpec>();
  spec->id = model::FunctionId("fu-1");
  spec->app = model::AppId("ap-1");
  spec->version = "de-1";
  spec->workspace = model::WorkspaceId("ac-1");
  spec->environment = model::EnvironmentId("en-1");
  spec->name = "square";
  spec->image = model::ImageId("im-1");
  spec->mounts = {model::MountId("mo-1")};
  spec->secrets = {model::SecretId("st-1")};
  spec->volumes = {{model::VolumeId("vo-1"), "/data", model::VolumeMount::Access::read_only, "a"}};
  spec->web = {{"label", "method", model::WebEndpoint::Kind::server_port, 8000,
                model::WebEndpoint::Callers::token_holders}};
  spec->dialect = "some";
  spec->push = model::PushContract{};
  spec->push->ready.by = model::PushContract::Ready::By::field;
  spec->push->ready = {spec->push->ready.by, "/health", "/status", {"READY"}, {"FAILED"}};
  spec->push->drop_headers = {"x-key"};
  spec->definition = std::string("\0\xff binary", 9);
  spec->parameters = std::string("\x01\x00", 2);
  return spec;
}

catalog::Function example_function() {
  catalog::Function function;
  const auto spec = example_spec();
  function.id = spec->id;
  function.app = spec->app;
  function.tag = "square";
  function.live_version = "de-1";
  function.versions["de-1"] = spec;
  return function;
}

// One object of each kind that refer to each other, and a second app that must be there always.
async::Task<void> fill(Catalog& catalog) {
  const model::WorkspaceId workspace("ac-1");
  const model::EnvironmentId environment("en-1");
  const WallTime time{std::chrono::microseconds(1'700'000'000'000'000)};
  catalog::Change change;
  change.put(catalog.workspaces, {workspace, "thaw"});
  change.put(catalog.environments, {environment, workspace, "main", time});
  model::Token token{model::TokenId("ak-1"), workspace, "mine", "00ff", time};
  token.grants = {model::TokenScope::invoke | model::TokenScope::read, "shop/*"};
  token.expires_at = time;
  token.last_used_at = time;
  token.old = model::OldSecret{"ff00", time};
  change.put(catalog.tokens, std::move(token));
  model::App app;
  app.id = model::AppId("ap-1");
  app.workspace = workspace;
  app.environment = environment;
  app.name = "shop";
  app.state = model::AppState::deployed;
  app.functions = {{"square", model::FunctionId("fu-1")}};
  app.classes = {{"Shop", model::ClassId("cs-1")}};
  app.tags = {{"team", "red"}};
  app.history = {{1, time, "tag", "1.6.4"},
                 {2,
                  time,
                  "",
                  "1.6.4",
                  "me",
                  model::Deployment::Kind::rollback,
                  1,
                  {"git", "main", "00ff", true},
                  "key"}};
  change.put(catalog.apps, app);
  model::App other;
  other.id = model::AppId("ap-2");
  other.name = "other";
  change.put(catalog.apps, other);
  change.put(catalog.functions, example_function());
  catalog::Function before = example_function();
  auto old = example_spec();
  old->version = before.live_version = "de-0";
  before.versions = {{"de-0", old}};
  change.put(catalog.versions, catalog::kept_version(before));
  change.put(catalog.aliases, {model::alias_id(before.id, "live"),
                               before.id,
                               workspace,
                               "live",
                               {{"de-0", 9}, {"de-1", 1}}});
  change.put(catalog.app_versions, {catalog::app_version_id(app.id, 1),
                                    app.id,
                                    workspace,
                                    1,
                                    {{"square", {before.id, "de-0"}}},
                                    {{"Shop", model::ClassId("cs-1")}}});
  change.put(catalog.classes, {model::ClassId("cs-1"), app.id, "Shop"});
  change.put(catalog.mounts,
             {model::MountId("mo-1"), workspace, "", "sum", {{"/root/a.py", "00ff", 0644}}});
  model::Secret secret;
  secret.id = model::SecretId("st-1");
  secret.workspace = workspace;
  secret.environment = environment;
  secret.name = "key";
  secret.keys = {"A", "B"};
  secret.sealed = "sealed";
  change.put(catalog.secrets, secret);
  change.put(catalog.images, {model::ImageId("im-1"), workspace, "00ff", "2025.06", "recipe"});
  model::ImageName image_name;
  image_name.id = model::ImageNameId("it-1");
  image_name.workspace = workspace;
  image_name.environment = environment;
  image_name.name = "trainer:v2";
  image_name.created_at = time;
  image_name.revisions = {{"ir-1", model::ImageId("im-0"), time, "somebody"},
                          {"ir-2", model::ImageId("im-1"), time, "somebody"}};
  change.put(catalog.image_names, image_name);
  model::Volume volume;
  volume.id = model::VolumeId("vo-1");
  volume.workspace = workspace;
  volume.environment = environment;
  volume.name = "weights";
  volume.created_at = time;
  change.put(catalog.volumes, volume);
  co_return co_await catalog.apply(std::move(change));
}

struct StoredRow {
  std::string kind;
  std::string id;
  std::string json;
  std::string bytes;
};

std::vector<StoredRow> rows_of(store::Database& database) {
  std::vector<StoredRow> rows;
  REQUIRE(database.read_now([&](store::Transaction& transaction) {
    return store::testing::sql_of(transaction)
        .each("SELECT kind, id, json, bytes FROM catalog_objects ORDER BY kind, id", {},
              [&](const store::testing::SqlRow& row) {
                rows.push_back({row.text(0), row.text(1), row.text(2), row.text(3)});
              });
  }));
  return rows;
}

Json strange_value(std::mt19937& random) {
  static const std::vector<Json> strange = {nullptr,
                                            true,
                                            -1,
                                            0,
                                            1e300,
                                            -1e300,
                                            0.5,
                                            std::numeric_limits<std::int64_t>::max(),
                                            std::numeric_limits<std::int64_t>::min(),
                                            std::numeric_limits<std::uint64_t>::max(),
                                            4'294'967'296,
                                            "",
                                            "../../etc/passwd",
                                            "ap-1",
                                            std::string(100'000, 'x'),
                                            Json::array(),
                                            Json::object(),
                                            Json::array({nullptr}),
                                            Json::array({Json::array({1, 2, 3})}),
                                            Json{{"a", 1}},
                                            Json::array({Json::object()})};
  return strange[random() % strange.size()];
}

void collect(Json& json, std::vector<Json*>& places) {
  for (auto& item : json) {
    places.push_back(&item);
    if (item.is_structured()) {
      collect(item, places);
    }
  }
}

// The row as somebody or something has damaged it.
StoredRow damaged(StoredRow row, std::mt19937& random) {
  Json json = Json::parse(row.json);
  std::vector<Json*> places;
  collect(json, places);
  switch (random() % 8) {
    case 0: row.json.resize(random() % row.json.size()); return row;
    case 1: row.json[random() % row.json.size()] = static_cast<char>(random()); return row;
    case 2: row.json = strange_value(random).dump(); return row;
    case 3: row.bytes.resize(random() % (row.bytes.size() + 1)); return row;
    case 4: row.json = std::string(100'000, '['); return row;
    case 5: json.erase(std::next(json.begin(), static_cast<long>(random() % json.size()))); break;
    default: *places[random() % places.size()] = strange_value(random); break;
  }
  row.json = codec::dump_json(json);
  return row;
}

async::Task<void> write_row(store::Database& database, StoredRow row) {
  std::function<Result<void>(store::Transaction&)> work =
      [row](store::Transaction& transaction) -> Result<void> {
    THAW_TRY_VOID(store::testing::sql_of(transaction)
                      .run("INSERT INTO catalog_objects VALUES (?, ?, ?, ?, 0) "
                           "ON CONFLICT DO UPDATE SET json = excluded.json, bytes = excluded.bytes",
                           {row.kind, row.id, row.json, store::testing::SqlBlob{row.bytes}}));
    return ok();
  };
  co_return co_await database.write<void>(std::move(work));
}

async::Task<std::int64_t> count_aside(store::Database& database) {
  // Writes end in order: what is set aside later has been by then.
  std::function<Result<std::int64_t>(store::Transaction&)> work =
      [](store::Transaction& transaction) -> Result<std::int64_t> {
    std::int64_t sum = 0;
    THAW_TRY(const auto counts, store::count_set_aside(transaction));
    for (const auto& [table, count] : counts) {
      sum += count;
    }
    return sum;
  };
  co_return co_await database.write<std::int64_t>(std::move(work));
}

template <class T>
void check_can_be_put(async::Loop& loop, catalog::ObjectTable<T>& table) {
  for (const auto& [id, object] : std::unordered_map(table.all())) {
    // What could be read can be written, and comes back as it is.
    CHECK(loop.run_task(table.put(*object)));
  }
}

}  // namespace

TEST_CASE("whatever is wrong with a stored record, the others are there") {
  const store::TempFolder folder(store::TempFolder::Place::in_memory);
  async::Loop loop;
  const auto database = open_database(loop, folder);
  REQUIRE(loop.run_task(fill(**Catalog::open(*database))));
  const std::vector<StoredRow> rows = rows_of(*database);
  REQUIRE(rows.size() == 15);
  std::int64_t lost = 0;
  for (unsigned seed = 0; seed < 800; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const StoredRow& whole = rows[random() % rows.size()];
    const StoredRow broken = damaged(whole, random);
    CAPTURE(broken.json.substr(0, 500));
    REQUIRE(loop.run_task(write_row(*database, broken)));
    {
      auto opened = Catalog::open(*database);
      REQUIRE(opened);
      Catalog& catalog = **opened;
      const std::size_t there = catalog.workspaces.all().size() +
                                catalog.environments.all().size() + catalog.tokens.all().size() +
                                catalog.apps.all().size() + catalog.functions.all().size() +
                                catalog.classes.all().size() + catalog.mounts.all().size() +
                                catalog.secrets.all().size() + catalog.images.all().size() +
                                catalog.volumes.all().size() + catalog.versions.all().size() +
                                catalog.aliases.all().size() + catalog.app_versions.all().size() +
                                catalog.image_names.all().size();
      CHECK(there >= rows.size() - 1);
      lost += static_cast<std::int64_t>(rows.size() - there);
      CHECK((catalog.apps.find("ap-2") || whole.id == "ap-2"));
      // What is left of a damaged token may do no more than before.
      if (const auto token = catalog.tokens.find("ak-1")) {
        CHECK_FALSE(token->grants.scopes.has(model::TokenScope::admin));
        CHECK(token->grants.is_narrow());
      }
      if (whole.kind == "environment" && !catalog.environments.find("en-1")) {
        CHECK(catalog.lost_environment(model::WorkspaceId("ac-1")).str() == "en-1");
      }
      if (seed % 50 == 0) {
        check_can_be_put(loop, catalog.apps);
        check_can_be_put(loop, catalog.functions);
        check_can_be_put(loop, catalog.volumes);
        check_can_be_put(loop, catalog.versions);
        check_can_be_put(loop, catalog.aliases);
        check_can_be_put(loop, catalog.app_versions);
      }
      if (seed % 20 == 0) {  // what is counted is read
        const auto aside = loop.run_task(count_aside(*database));
        REQUIRE(aside);
        CHECK(*aside == lost);
      }
    }
    // As it was, for the next one; also if it was set aside.
    REQUIRE(loop.run_task(write_row(*database, whole)));
  }
  CHECK(lost > 80);
}

TEST_CASE("a record that could not be read again is not written") {
  const store::TempFolder folder;
  async::Loop loop;
  const auto database = open_database(loop, folder);
  const auto catalog = std::move(*Catalog::open(*database));
  for (const double backoff : {std::numeric_limits<double>::infinity(), std::nan(""),
                               -std::numeric_limits<double>::infinity()}) {
    catalog::Function function = example_function();
    auto spec = example_spec();
    spec->retry.backoff = backoff;
    function.versions["de-1"] = spec;
    const auto outcome = loop.run_task(catalog->functions.put(function));
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code() == Code::invalid_argument);
    CHECK(outcome.error().message().find("retry_backoff") != std::string::npos);
  }
  catalog::Function negative = example_function();
  auto spec = example_spec();
  spec->scaling.max_containers = -1;
  negative.versions["de-1"] = spec;
  CHECK_FALSE(loop.run_task(catalog->functions.put(negative)));
  CHECK_FALSE(catalog->functions.find("fu-1"));
  CHECK(rows_of(*database).empty());
}

TEST_CASE("a damaged record can be read by a person where it lies aside") {
  const store::TempFolder folder;
  async::Loop loop;
  const auto database = open_database(loop, folder);
  REQUIRE(loop.run_task(fill(**Catalog::open(*database))));
  REQUIRE(loop.run_task(write_row(*database, {"app", "ap-1", R"({"id": "ap-1", "name": 5})", ""})));
  const auto catalog = std::move(*Catalog::open(*database));
  CHECK_FALSE(catalog->apps.find("ap-1"));
  CHECK(*loop.run_task(count_aside(*database)) == 1);
  std::string object;
  std::string reason;
  std::string content;
  REQUIRE(database->read_now([&](store::Transaction& transaction) {
    return store::testing::sql_of(transaction)
        .each("SELECT object, reason, content FROM set_aside", {}, [&](const auto& row) {
          object = row.text(0);
          reason = row.text(1);
          content = row.text(2);
        });
  }));
  CHECK(object == "app ap-1");
  CHECK(reason.find("'name' is no text") != std::string::npos);
  CHECK(content.find(R"({"id": "ap-1", "name": 5})") != std::string::npos);
}
