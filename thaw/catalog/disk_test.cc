// SPDX-License-Identifier: Apache-2.0
// What the disk does not take is not there, in memory neither.
#include <doctest/doctest.h>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using catalog::Catalog;

namespace {

// A database that refuses writes while it is told to.
class FickleDatabase final : public store::Database {
 public:
  explicit FickleDatabase(std::unique_ptr<store::Database> real) : real_(std::move(real)) {}
  bool full = false;

  void write_later(std::function<Result<void>(store::Transaction&)> work) override {
    real_->write_later(std::move(work));
  }
  Result<void> read_now(const std::function<Result<void>(store::Transaction&)>& work) override {
    return real_->read_now(work);
  }
  async::Task<void> release_memory() override { return real_->release_memory(); }
  void close() override { real_->close(); }

 protected:
  async::Task<void> submit_write(std::function<Result<void>(store::Transaction&)> work) override {
    std::function<Result<void>(store::Transaction&)> outer =
        [refuse = full, work = std::move(work)](store::Transaction& transaction) -> Result<void> {
      THAW_TRY_VOID(work(transaction));
      return refuse ? Result<void>(Error::resource_exhausted("the disk is full")) : ok();
    };
    return real_->write<void>(std::move(outer));
  }
  async::Task<void> submit_read(std::function<Result<void>(store::Transaction&)> work) override {
    return real_->read<void>(std::move(work));
  }

 private:
  std::unique_ptr<store::Database> real_;
};

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<FickleDatabase> database;
  std::unique_ptr<Catalog> catalog;

  Fixture() { open(); }
  ~Fixture() {
    catalog.reset();
    database->close();
  }
  void open() {
    catalog.reset();
    if (database) {
      database->close();
    }
    store::DatabaseOptions options;
    options.path = folder / "thaw.db";
    options.migrations = catalog::migrations();
    database = std::make_unique<FickleDatabase>(std::move(*store::Database::open(loop, options)));
    catalog = std::move(*Catalog::open(*database));
  }
};

model::App app_named(const char* name) {
  model::App app;
  app.id = model::AppId("ap-1");
  app.environment = model::EnvironmentId("en-1");
  app.name = name;
  app.state = model::AppState::deployed;
  return app;
}

async::Task<void> put_app(Catalog& catalog, model::App app) {
  co_return co_await catalog.apps.put(std::move(app));
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a change that the disk refuses is undone in memory") {
  REQUIRE(loop.run_task(catalog->apps.put(app_named("shop"))));
  database->full = true;
  CHECK(loop.run_task(catalog->apps.put(app_named("bazaar"))).error().code() ==
        Code::resource_exhausted);
  CHECK(catalog->apps.find("ap-1")->name == "shop");
  CHECK(catalog->deployed_app(model::EnvironmentId("en-1"), "shop"));
  CHECK_FALSE(catalog->deployed_app(model::EnvironmentId("en-1"), "bazaar"));
  CHECK_FALSE(loop.run_task(catalog->apps.erase("ap-1")));
  CHECK(catalog->apps.find("ap-1"));
  model::App fresh = app_named("new");
  fresh.id = model::AppId("ap-2");
  CHECK_FALSE(loop.run_task(catalog->apps.put(fresh)));
  CHECK_FALSE(catalog->apps.find("ap-2"));
  database->full = false;
  CHECK(loop.run_task(catalog->apps.put(app_named("bazaar"))));
  CHECK(catalog->apps.find("ap-1")->name == "bazaar");
}

TEST_CASE_FIXTURE(Fixture, "of two changes under way, memory ends as what the disk took") {
  const auto both = [](Fixture& f, bool first_is_lost) -> async::Task<void> {
    async::TaskGroup group(f.loop);
    f.database->full = first_is_lost;
    group.start("first", put_app(*f.catalog, app_named("first")));
    f.database->full = !first_is_lost;
    group.start("second", put_app(*f.catalog, app_named("second")));
    // The next request builds on what was asked for last.
    CHECK(f.catalog->apps.find("ap-1")->name == "second");
    f.database->full = false;
    (void)co_await group.join(Instant::max());
    co_return ok();
  };
  REQUIRE(loop.run_task(both(*this, false)));
  CHECK(catalog->apps.find("ap-1")->name == "first");
  REQUIRE(loop.run_task(both(*this, true)));
  CHECK(catalog->apps.find("ap-1")->name == "second");
  open();
  CHECK(catalog->apps.find("ap-1")->name == "second");
}

TEST_CASE_FIXTURE(Fixture, "changes that belong together are made together or not at all") {
  REQUIRE(loop.run_task(catalog->apps.put(app_named("shop"))));
  const auto change = [this] {
    catalog::Change made;
    model::App other = app_named("other");
    other.id = model::AppId("ap-2");
    made.put(catalog->apps, other);
    made.put(catalog->classes, {model::ClassId("cs-1"), other.id, "One"});
    made.erase(catalog->apps, "ap-1");
    return made;
  };
  database->full = true;
  CHECK_FALSE(loop.run_task(catalog->apply(change())));
  CHECK(catalog->apps.find("ap-1"));
  CHECK_FALSE(catalog->apps.find("ap-2"));
  CHECK_FALSE(catalog->classes.find("cs-1"));
  database->full = false;
  // One that cannot be stored keeps the others away.
  catalog::Change bad = change();
  bad.put(catalog->classes, {model::ClassId(""), model::AppId("ap-2"), ""});
  CHECK(loop.run_task(catalog->apply(std::move(bad))).error().code() == Code::invalid_argument);
  CHECK(catalog->apps.find("ap-1"));
  CHECK_FALSE(catalog->apps.find("ap-2"));
  REQUIRE(loop.run_task(catalog->apply(change())));
  open();
  CHECK_FALSE(catalog->apps.find("ap-1"));
  CHECK(catalog->apps.find("ap-2"));
  CHECK(catalog->classes.find("cs-1"));
}

TEST_CASE_FIXTURE(Fixture, "a workspace may have so much in the catalog, and others have theirs") {
  catalog->shares.limits = {.objects = 10, .bytes = 1000, .object_bytes = 600};
  const auto function = [](const char* workspace, const std::string& id, std::size_t bytes) {
    auto spec = std::make_shared<model::FunctionSpec>();
    spec->version = "de-1";
    spec->definition = std::string(bytes, 'x');
    catalog::Function made;
    made.id = spec->id = model::FunctionId(id);
    made.workspace = spec->workspace = model::WorkspaceId(workspace);
    made.live_version = "de-1";
    made.versions["de-1"] = spec;
    return made;
  };
  const auto put = [this](catalog::Function one) {
    const auto outcome = loop.run_task(catalog->functions.put(std::move(one)));
    return outcome ? std::string() : outcome.error().message();
  };
  CHECK(put(function("ac-1", "fu-big", 601)).find("[catalog] object_mb") != std::string::npos);
  CHECK(put(function("ac-1", "fu-1", 600)).empty());
  CHECK(put(function("ac-1", "fu-2", 500)).find("[catalog] mb_per_workspace") != std::string::npos);
  CHECK(put(function("ac-1", "fu-2", 400)).empty());
  CHECK(put(function("ac-2", "fu-3", 600)).empty());
  // The same again, and less, is always possible; more is not.
  CHECK(put(function("ac-1", "fu-2", 400)).empty());
  CHECK_FALSE(put(function("ac-1", "fu-2", 401)).empty());
  CHECK(put(function("ac-1", "fu-2", 10)).empty());
  for (int i = 0; i < 8; ++i) {
    CHECK(put(function("ac-1", "fu-small-" + std::to_string(i), 1)).empty());
  }
  CHECK(put(function("ac-1", "fu-more", 1)).find("objects_per_workspace") != std::string::npos);
  REQUIRE(loop.run_task(catalog->functions.erase("fu-1")));
  CHECK(put(function("ac-1", "fu-more", 1)).empty());
  CHECK(catalog->shares.of("ac-1").objects == 10);
  CHECK(catalog->shares.of("ac-1").bytes == 19);
  open();
  CHECK(catalog->shares.of("ac-1").objects == 10);
  CHECK(catalog->shares.of("ac-1").bytes == 19);
  CHECK(catalog->shares.of("ac-2").bytes == 600);
}
