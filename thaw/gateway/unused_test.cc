// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/unused.h"

#include <doctest/doctest.h>

#include <optional>
#include <string>

#include "thaw/control/fleet_house_test.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

// What is unused for ten seconds goes.
struct Attic : control::FleetHouse {
  ImageBuilds builds{loop, *catalog, *logs, images};
  Unused unused{{loop, *catalog, *queue, *logs, *fleet, builds}, 10s};

  Attic() { unused.start(); }
  ~Attic() {
    await(unused.stop());
    await(builds.stop());
  }
  std::shared_ptr<model::FunctionSpec> made(const std::string& function,
                                            const std::string& version) {
    auto out = std::make_shared<model::FunctionSpec>(spec);
    out->id = model::FunctionId(function);
    out->version = version;
    return out;
  }
  // Created for a deployment.
  void draft(const std::string& function) {
    catalog::Function record;
    record.id = model::FunctionId(function);
    record.app = spec.app;
    record.workspace = spec.workspace;
    record.tag = function;
    record.versions["de-1"] = made(function, "de-1");
    await(catalog->functions.put(std::move(record)));
  }
  void secret(const std::string& id, const std::string& name, WallTime at) {
    model::Secret secret;
    secret.id = model::SecretId(id);
    secret.workspace = spec.workspace;
    secret.name = name;
    secret.owner = name.empty() ? spec.app : model::AppId();
    secret.created_at = at;
    await(catalog->secrets.put(std::move(secret)));
  }
};

}  // namespace

TEST_CASE("a function that never was live goes, and what was staged of it stays") {
  Attic f;
  f.draft("fu-draft");
  f.draft("fu-staged");
  f.draft("fu-lost");
  catalog::Function lost = *f.catalog->functions.find("fu-lost");
  lost.app = model::AppId("ap-lost");
  f.await(f.catalog->functions.put(lost));
  catalog::Function staged = *f.catalog->functions.find("fu-staged");
  staged.live_version = "de-1";
  f.await(f.catalog->versions.put(catalog::kept_version(staged)));
  staged.live_version.clear();
  staged.versions.clear();
  f.await(f.catalog->functions.put(staged));
  catalog::AppVersion past;
  past.id = catalog::app_version_id(f.spec.app, 2);
  past.app = f.spec.app;
  past.workspace = f.spec.workspace;
  past.number = 2;
  past.functions["fu-staged"] = {model::FunctionId("fu-staged"), "de-1"};
  f.await(f.catalog->app_versions.put(past));
  f.passes(5s);
  CHECK(f.catalog->functions.find("fu-draft"));
  f.passes(15s);
  CHECK(!f.catalog->functions.find("fu-draft"));
  CHECK(!f.catalog->functions.find("fu-staged"));
  CHECK(f.catalog->versions.find("fu-staged@de-1"));
  CHECK(f.catalog->functions.find("fu-lost"));  // its app may be read again
  CHECK(f.catalog->functions.find(f.spec.id.str()));
}

TEST_CASE("a class that no deployment has goes") {
  Attic f;
  model::App app = *f.catalog->apps.find(f.spec.app.str());
  app.classes["Shop"] = model::ClassId("cs-live");
  f.await(f.catalog->apps.put(app));
  for (const char* id : {"cs-live", "cs-never"}) {
    f.await(f.catalog->classes.put({model::ClassId(id), f.spec.app, "Shop"}));
  }
  f.await(f.catalog->classes.put({model::ClassId("cs-lost"), model::AppId("ap-lost"), "Shop"}));
  f.passes(20s);
  CHECK(f.catalog->classes.find("cs-live"));
  CHECK(!f.catalog->classes.find("cs-never"));
  CHECK(f.catalog->classes.find("cs-lost"));  // its app may be read again
}

TEST_CASE("of secrets without a name that no version has the newest stay") {
  Attic f;
  const WallTime begin = wall_now();
  for (int i = 0; i < 300; ++i) {
    f.secret("st-" + std::to_string(i), "", begin + std::chrono::seconds(i));
  }
  f.secret("st-named", "key", begin);
  f.spec.secrets = {model::SecretId("st-7")};
  f.publish();
  f.passes(20s);
  CHECK(f.catalog->secrets.all().size() == 102);
  CHECK(f.catalog->secrets.find("st-299"));
  CHECK(f.catalog->secrets.find("st-200"));
  CHECK(!f.catalog->secrets.find("st-199"));
  CHECK(f.catalog->secrets.find("st-7"));
  CHECK(f.catalog->secrets.find("st-named"));
}

TEST_CASE("a variant of a version that was replaced goes once nobody has asked for it for long") {
  Attic f;
  catalog::Function variant;
  variant.id = model::FunctionId("fu-variant");
  variant.app = f.spec.app;
  variant.workspace = f.spec.workspace;
  variant.base = f.spec.id;
  variant.live_version = f.spec.version;
  auto spec = f.made("fu-variant", f.spec.version);
  spec->base = f.spec.id;
  variant.versions[f.spec.version] = spec;
  f.await(f.catalog->functions.put(variant));
  f.passes(30s);
  CHECK(f.catalog->functions.find("fu-variant"));
  f.publish();
  for (int i = 0; i < 6; ++i) {
    f.passes(5s);
    f.unused.note_use("fu-variant");
  }
  CHECK(f.catalog->functions.find("fu-variant"));
  f.passes(20s);
  CHECK(!f.catalog->functions.find("fu-variant"));
}
