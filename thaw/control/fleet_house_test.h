// SPDX-License-Identifier: Apache-2.0
//
// FleetHouse: a Fleet in virtual time with the real catalog, queue and database and a worker that
// is faked, one function, and its clients; what programs do a test does itself. For tests of
// control.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/virtual_time.h"
#include "thaw/control/fleet.h"
#include "thaw/control/testing/plain_runtime.h"
#include "thaw/image/testing/fake_builder.h"
#include "thaw/meter/testing/fake_ledger.h"
#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/testing/fake_folders.h"
#include "thaw/worker/testing/fake_worker.h"

namespace thaw::control {

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result, (result ? std::string() : result.error().to_string()));
  return std::move(*result);
}

inline std::vector<store::Migration> all_migrations() {
  std::vector<store::Migration> all = catalog::migrations();
  for (const auto& more : {queue::migrations(), logs::migrations(), measurement_migrations(),
                           store::blob_migrations()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  return all;
}

inline FleetOptions small_options() {
  FleetOptions options;
  options.max_containers = 4;
  options.stop_grace = 30s;
  options.interrupt_grace = 5s;
  options.freezer.after = 2s;
  return options;
}

struct FleetHouse {
  async::VirtualTime time;
  store::TempFolder folder;
  async::Loop loop;
  std::unique_ptr<store::Database> database;
  std::unique_ptr<catalog::Catalog> catalog;
  async::Pool pool{1};
  store::DiskShares shares{folder.path(), {.bytes_per_owner = 0, .reserve_bytes = 0}};
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<queue::CallQueue> queue;
  std::unique_ptr<logs::LogHub> logs;
  std::unique_ptr<Measurements> measurements;
  std::unique_ptr<snapshot::SnapshotStore> snapshots;
  worker::testing::FakeFolders folders;
  image::testing::FakeBuilder images;
  testing::PlainRuntime runtime;
  worker::testing::FakeWorker worker;
  meter::testing::FakeLedger ledger;
  std::optional<Fleet> fleet;
  model::FunctionSpec spec;
  async::TaskGroup tasks{loop};

  // With a folder for snapshots, if it is to have them.
  enum class Has { no_snapshots, snapshots };
  explicit FleetHouse(Has has = Has::no_snapshots, FleetOptions options = small_options()) {
    if (has == Has::snapshots) {
      snapshot::SnapshotLimits limits;
      limits.free_bytes = 0;
      snapshots = must(snapshot::SnapshotStore::open(pool, folder / "snapshots", "m", limits));
    }
    store::DatabaseOptions database_options;
    database_options.path = folder / "t.db";
    database_options.migrations = all_migrations();
    database = must(store::Database::open(loop, std::move(database_options)));
    catalog = must(catalog::Catalog::open(*database));
    store::BlobOptions blob_options;
    blob_options.folder = folder / "blobs";
    blobs = must(store::BlobStore::open(pool, *database, shares, blob_options));
    queue = must(queue::CallQueue::open(loop, *database, {}, nullptr, blobs.get()));
    logs = must(logs::LogHub::open(loop, *database, {}));
    measurements = must(Measurements::open(database.get()));
    fleet.emplace(
        FleetParts{loop, *catalog, *queue, images, worker, folders, folders, *logs, runtime,
                   [](const model::Secret&) -> Result<std::vector<std::string>> {
                     return std::vector<std::string>{};
                   },
                   *measurements, snapshots.get(), &ledger},
        options);
    spec.id = model::FunctionId("fu-1");
    spec.app = model::AppId("ap-1");
    spec.workspace = model::WorkspaceId("ac-1");
    spec.name = "f";
    spec.image = model::ImageId("im-1");
    spec.timeout = 60s;
    spec.startup_timeout = 10min;
    spec.scaling.scaledown_window = 20s;
    model::App app;
    app.id = spec.app;
    app.state = model::AppState::deployed;
    await(catalog->apps.put(app));
    model::Image image;
    image.id = spec.image;
    image.key = "image";
    await(catalog->images.put(image));
    publish();
    fleet->start();
  }
  ~FleetHouse() {
    await(tasks.stop());
    worker.holds_launches = false;
    worker.changed.notify_all();
    await(fleet->shut_down(time.now()));
    passes(1s);
    fleet.reset();
    for (const std::string& broken : ledger.check()) {
      FAIL_CHECK(broken);
    }
    database->close();
  }

  void passes(Duration how_long) {
    time.run(loop, time.now() + how_long);
    for (const std::string& broken : fleet->check_invariants()) {
      FAIL_CHECK(broken);
    }
  }
  void await(async::Task<void> task) {
    Result<void> outcome = Error::internal("it has not ended");
    async::TaskGroup group(loop);
    const auto body = [](async::Task<void> inner, Result<void>& out) -> async::Task<void> {
      out = co_await std::move(inner);
      co_return ok();
    };
    group.start("awaited", body(std::move(task), outcome));
    for (int i = 0; i < 10'000 && group.size() > 0; ++i) {
      passes(20ms);
    }
    REQUIRE_MESSAGE(outcome, (outcome ? std::string() : outcome.error().to_string()));
  }
  void publish() {
    static int versions = 0;
    spec.version = "v" + std::to_string(++versions);
    catalog::Function record;
    record.id = spec.id;
    record.app = spec.app;
    record.workspace = spec.workspace;
    record.live_version = spec.version;
    record.versions[spec.version] = std::make_shared<model::FunctionSpec>(spec);
    await(catalog->functions.put(std::move(record)));
  }
  // What was live is there still, for who names it; its name.
  std::string publish_beside() {
    const auto before = catalog->functions.find(spec.id.str());
    await(catalog->versions.put(catalog::kept_version(*before)));
    publish();
    fleet->refresh(spec.id);
    return before->live_version;
  }
  void call(const std::string& name, model::Payload payload = {"payload"},
            model::CallLimits limits = {}, const std::string& version = {}) {
    const auto body = [](FleetHouse& f, std::string id, model::Payload given,
                         model::CallLimits allowed, std::string pinned) -> async::Task<void> {
      model::NewCall made;
      made.id = model::CallId(std::move(id));
      made.workspace = f.spec.workspace;
      made.app = f.spec.app;
      made.function = f.spec.id;
      made.durability = model::Durability::durable;
      made.retry = f.spec.retry;
      made.limits = allowed;
      made.version = std::move(pinned);
      std::vector<model::NewInput> inputs;
      inputs.push_back({0, std::move(given)});
      const auto ids = co_await f.queue->create(std::move(made), std::move(inputs));
      co_return ids ? ok() : Result<void>(ids.error());
    };
    await(body(*this, name, std::move(payload), limits, version));
  }
  // The same payload as it is stored.
  model::Payload kept(model::Payload payload) {
    const auto body = [](FleetHouse& f, model::Payload& inout) -> async::Task<void> {
      THAW_CO_TRY(inout, co_await f.queue->payloads().keep(f.spec.workspace, inout));
      co_return ok();
    };
    await(body(*this, payload));
    return payload;
  }
  // How it ended; nothing: it has not.
  std::optional<model::LogEntry> result_of(const std::string& name) {
    std::optional<model::LogEntry> result;
    const auto body = [](FleetHouse& f, std::string id,
                         std::optional<model::LogEntry>& out) -> async::Task<void> {
      THAW_CO_TRY(const auto entries, co_await f.queue->read(model::CallId(std::move(id)), 0, 10,
                                                             monotonic_now(), nullptr));
      if (!entries.empty()) {
        out = entries.back();
      }
      co_return ok();
    };
    await(body(*this, name, result));
    return result;
  }
  // The program's part: asks for inputs and keeps them.
  void polls(std::size_t which) {
    const auto body = [](FleetHouse& f, model::ContainerId id) -> async::Task<void> {
      while (true) {
        THAW_CO_TRY(Poll poll,
                    co_await f.fleet->next_inputs(
                        id, {.max = 1, .linger = {}, .hold_until = monotonic_now() + 20s}));
        for (const queue::LeasedInput& input : poll.inputs) {
          f.taken.push_back(input);
        }
        if (poll.stop) {
          ++f.stops_told;
          co_return ok();
        }
        if (!poll.inputs.empty()) {
          co_return ok();
        }
      }
    };
    tasks.start("program", body(*this, worker.launched.at(which)));
  }
  void finishes(const queue::LeasedInput& input, std::size_t which) {
    await(fleet->finish(worker.launched.at(which), input.input,
                        {model::OutcomeKind::success, {"done"}}));
  }
  worker::testing::FakeContainer& container(std::size_t which) { return *worker.running.at(which); }
  bool lives(std::size_t which) {
    for (const ContainerView& view : fleet->containers()) {
      if (view.id == worker.launched.at(which)) {
        return true;
      }
    }
    return false;
  }

  std::vector<queue::LeasedInput> taken;
  int stops_told = 0;
};

}  // namespace thaw::control
