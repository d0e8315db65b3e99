// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/measurements.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>

#include "thaw/async/loop.h"
#include "thaw/store/testing/sql.h"
#include "thaw/worker/testing/fake_container.h"

using namespace thaw;
using namespace thaw::control;
using model::Level;

namespace {

// A folder that goes with the test.
struct Folder {
  Folder() {
    std::string form = (std::filesystem::temp_directory_path() / "thaw-measure-XXXXXX").string();
    REQUIRE(::mkdtemp(form.data()) != nullptr);
    path = form;
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string path;
};

std::unique_ptr<store::Database> open_database(async::Loop& loop, const Folder& folder) {
  store::DatabaseOptions options;
  options.path = folder.path + "/test.db";
  options.migrations = control::measurement_migrations();
  auto database = store::Database::open(loop, std::move(options));
  REQUIRE(database);
  return std::move(*database);
}

std::unique_ptr<Measurements> open(store::Database* database) {
  auto opened = Measurements::open(database);
  REQUIRE(opened);
  return std::move(*opened);
}

const model::FunctionId function("fu-1");
const WallTime monday{std::chrono::seconds(1563148800)};

}  // namespace

TEST_CASE("times of starts follow the last dozen, by version and level") {
  const auto measurements = open(nullptr);
  CHECK(measurements->levels_of("v1").of(Level::forked).starts == 0);
  measurements->started("v1", Level::forked, 40ms);
  CHECK(measurements->levels_of("v1").of(Level::forked).time == 40ms);
  for (int i = 0; i < 40; ++i) {
    measurements->started("v1", Level::forked, 80ms);
  }
  CHECK(measurements->levels_of("v1").of(Level::forked).time > 75ms);
  CHECK(measurements->levels_of("v1").of(Level::booted).starts == 0);
  CHECK(measurements->levels_of("v2").of(Level::forked).starts == 0);
  measurements->started("v1", Level::booted, 400ms);
  CHECK(measurements->levels_of("v1").of(Level::forked).since_start == 1);
  CHECK(measurements->levels_of("v1").of(Level::booted).since_start == 0);
}

TEST_CASE("failures in a row are counted until a start succeeds") {
  const auto measurements = open(nullptr);
  const Instant now{1h};
  measurements->failed("v1", Level::restored, now);
  measurements->failed("v1", Level::restored, now + 1s);
  CHECK(measurements->levels_of("v1").of(Level::restored).failures == 2);
  CHECK(measurements->levels_of("v1").of(Level::restored).last_failure == now + 1s);
  measurements->started("v1", Level::restored, 90ms);
  CHECK(measurements->levels_of("v1").of(Level::restored).failures == 0);
}

TEST_CASE("a container that becomes idle after a call tells what its level takes, now and then") {
  const auto measurements = open(nullptr);
  model::FunctionSpec spec;
  spec.version = "v1";
  Container container;
  container.spec = std::make_shared<const model::FunctionSpec>(spec);  // its user named a window
  container.start.level = Level::forked;
  auto running = std::make_unique<worker::testing::FakeContainer>(model::ContainerId("ta-1"));
  sandbox::testing::FakeSandbox& sandbox = running->fake;
  container.running = std::move(running);
  container.start.reached_ready = true;
  const auto memory = [&] { return measurements->levels_of("v1").of(Level::forked).memory_bytes; };

  sandbox.memory = 10 << 20;
  const Instant start = monotonic_now();
  note_memory(*measurements, container, start);  // it has not worked yet
  CHECK(memory() == 0);
  container.work.calls_served = 1;
  container.work.proxied = 1;
  note_memory(*measurements, container, start);  // it works
  CHECK(memory() == 0);
  container.work.proxied = 0;
  note_memory(*measurements, container, start);
  CHECK(memory() == 10 << 20);
  sandbox.memory = 30 << 20;
  note_memory(*measurements, container, start + 1s);
  CHECK(memory() == 10 << 20);
  note_memory(*measurements, container, start + 11s);
  CHECK(memory() > 10 << 20);
  CHECK(measurements->levels_of("v1").of(Level::booted).memory_bytes == 0);
}

TEST_CASE("there is a bound; what was used lately stays") {
  const auto measurements = open(nullptr);
  for (std::size_t i = 0; i < Measurements::most_functions + 100; ++i) {
    measurements->use_of(model::FunctionId("fu-" + std::to_string(i)));
    measurements->use_of(function).last_active = monday;
  }
  CHECK(measurements->known_functions().size() <= Measurements::most_functions);
  CHECK(measurements->use_of(function).last_active == monday);
}

TEST_CASE("what was learnt survives a restart; a damaged record is forgotten") {
  const Folder folder;
  async::Loop loop;
  {
    const auto database = open_database(loop, folder);
    const auto measurements = open(database.get());
    measurements->started("v1", Level::booted, 400ms);
    measurements->used_memory("v1", Level::booted, 50 << 20);
    auto& use = measurements->use_of(function);
    for (int i = 0; i < 6; ++i) {
      use.idle.arrived(monday + i * 10min, monday + (i + 1) * 10min);
    }
    use.last_active = monday + 1h;
    measurements->changed(function);
    measurements->save();
    database->write_later([](store::Transaction& transaction) -> Result<void> {
      for (const char* record : {"{", "[]", "{\"came\": 7}"}) {
        THAW_TRY([[maybe_unused]] const std::int64_t changed,
                 store::testing::sql_of(transaction)
                     .run("INSERT INTO measurement VALUES ('function', ?, ?)",
                          {std::string("bad") + record, std::string(record)}));
      }
      return ok();
    });
    database->close();
  }
  const auto database = open_database(loop, folder);
  const auto measurements = open(database.get());
  CHECK(measurements->levels_of("v1").of(Level::booted).time == 400ms);
  CHECK(measurements->levels_of("v1").of(Level::booted).memory_bytes == 50 << 20);
  CHECK(measurements->known_functions().size() == 1);
  CHECK(measurements->use_of(function).last_active == monday + 1h);
  CHECK(measurements->use_of(function).idle.beat());
  database->close();
}
