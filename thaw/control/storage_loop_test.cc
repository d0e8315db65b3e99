// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/storage_loop.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <optional>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::control;
namespace fs = std::filesystem;

namespace {

const model::WorkspaceId ann("ac-ann");
const model::WorkspaceId bob("ac-bob");

void find_blobs(std::string_view payload, std::vector<std::string>& names) {
  if (payload.starts_with("blob:")) {
    names.emplace_back(payload.substr(5));
  }
}

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  std::unique_ptr<store::Database> database;
  std::optional<store::DiskShares> shares;
  std::unique_ptr<store::BlobStore> blobs;
  std::unique_ptr<catalog::Catalog> catalog;
  std::unique_ptr<queue::CallQueue> queue;
  std::optional<worker::MountLayers> mounts;
  std::unique_ptr<store::Database> log_database;
  std::unique_ptr<logs::LogHub> logs;
  std::optional<StorageLoop> storage;
  std::vector<model::MountId> in_use;
  std::set<model::WorkspaceId> busy;

  Fixture() { open(); }
  ~Fixture() { close(); }
  void close() {
    storage.reset();
    logs.reset();
    log_database->close();
    log_database.reset();
    mounts.reset();
    queue.reset();
    catalog.reset();
    blobs.reset();
    database->close();
    database.reset();
  }
  void open() {
    store::DatabaseOptions options;
    options.path = folder / "thaw.db";
    options.migrations = catalog::migrations();
    for (auto& migration : queue::migrations()) {
      options.migrations.push_back(std::move(migration));
    }
    for (auto& migration : store::blob_migrations()) {
      options.migrations.push_back(std::move(migration));
    }
    database = std::move(*store::Database::open(loop, std::move(options)));
    shares.emplace(folder.path(), store::DiskLimits{.bytes_per_owner = 0, .reserve_bytes = 0});
    store::BlobOptions blob_options;
    blob_options.folder = folder / "blobs";
    blob_options.keep_unused = Duration{};
    blobs = std::move(*store::BlobStore::open(pool, *database, *shares, blob_options));
    catalog = std::move(*catalog::Catalog::open(*database));
    queue = std::move(*queue::CallQueue::open(loop, *database, {}));
    mounts.emplace(pool, *blobs, folder / "mounts");
    store::DatabaseOptions log_options;
    log_options.path = folder / "logs.db";
    log_options.migrations = logs::migrations();
    log_database = std::move(*store::Database::open(loop, std::move(log_options)));
    logs = std::move(*logs::LogHub::open(loop, *log_database, {}));
    StorageOptions storage_options;
    storage_options.log_bytes_per_workspace = 100'000;
    storage_options.keep_unused_mounts = 1h;
    storage.emplace(StorageParts{loop, *catalog, *queue, *blobs, *mounts, *logs,
                                 [](const std::string& stream) { return stream.substr(0, 3); },
                                 [this] { return in_use; }, [this] { return busy; }, find_blobs},
                    storage_options);
  }

  std::string put(const std::string& bytes, const model::WorkspaceId& owner = ann) {
    return loop.run_task(blobs->put(owner.str(), bytes))->sha256_hex;
  }
  model::Mount mount(const std::string& id, std::vector<model::MountFile> files,
                     WallTime used_at = WallTime{}) {
    model::Mount made;
    made.id = model::MountId(id);
    made.workspace = ann;
    made.checksum = worker::mount_checksum(files);
    made.files = std::move(files);
    made.used_at = used_at;
    REQUIRE(loop.run_task(catalog->mounts.put(made)));
    return made;
  }
  std::string lay_out(const std::string& id) {
    return *loop.run_task(mounts->folder_of(catalog->mounts.find(id)));
  }
  void use(const std::string& mount_id) {
    auto spec = std::make_shared<model::FunctionSpec>();
    spec->id = model::FunctionId("fu-1");
    spec->version = "de-1";
    spec->mounts = {model::MountId(mount_id)};
    catalog::Function function;
    function.id = spec->id;
    function.app = model::AppId("ap-1");
    function.tag = "f";
    function.live_version = spec->version;
    function.versions[spec->version] = spec;
    REQUIRE(loop.run_task(catalog->functions.put(std::move(function))));
  }
  void call(const std::string& id, const model::WorkspaceId& workspace, const std::string& payload,
            model::Durability durability) {
    model::NewCall made;
    made.id = model::CallId(id);
    made.workspace = workspace;
    made.function = model::FunctionId("fu-1");
    made.durability = durability;
    std::vector<model::NewInput> inputs{{0, {payload}}};
    REQUIRE(loop.run_task(queue->create(std::move(made), std::move(inputs))));
  }
  void round() { REQUIRE(loop.run_task(storage->round())); }
};

}  // namespace

TEST_CASE("a round keeps what mounts and calls refer to, and gives back the rest") {
  Fixture f;
  const std::string of_call = f.put("of a call");
  const std::string of_spawn = f.put("of a spawned call");
  const std::string of_mount = f.put("of a mount");
  const std::string unused = f.put("unused");
  const std::string foreign = f.put("foreign", bob);
  f.mount("mo-1", {{"/x", of_mount, 0644}});
  f.use("mo-1");
  f.call("fc-1", ann, "blob:" + of_call, model::Durability::memory);
  f.call("fc-2", ann, "blob:" + of_spawn, model::Durability::durable);
  // To name another workspace's blob does not keep it.
  f.call("fc-3", ann, "blob:" + foreign, model::Durability::memory);
  f.round();
  for (const std::string& name : {of_call, of_spawn, of_mount}) {
    CHECK(f.blobs->contains(ann.str(), name));
  }
  CHECK_FALSE(f.blobs->contains(ann.str(), unused));
  CHECK_FALSE(f.blobs->contains(bob.str(), foreign));
  CHECK(f.storage->counters().bytes_removed == 13);
  // Over the end of a server: what was in memory only is not there to be referred to.
  f.close();
  f.open();
  f.round();
  CHECK_FALSE(f.blobs->contains(ann.str(), of_call));
  CHECK(f.blobs->contains(ann.str(), of_spawn));
  CHECK(f.blobs->contains(ann.str(), of_mount));
}

TEST_CASE("a mount goes, with its layer and its files, when nothing has it and nobody waits") {
  Fixture f;
  const std::string file = f.put("file");
  f.mount("mo-used", {{"/used", file, 0644}});
  f.mount("mo-running", {{"/running", file, 0644}});
  f.mount("mo-young", {{"/young", file, 0644}}, wall_now());
  f.mount("mo-old", {{"/old", file, 0644}, {"/old program", f.put("program"), 0755}});
  f.use("mo-used");
  f.in_use = {model::MountId("mo-running")};
  std::vector<std::string> folders;
  for (const char* id : {"mo-used", "mo-running", "mo-young", "mo-old"}) {
    folders.push_back(f.lay_out(id));
  }
  // The bytes of a file are on disk once.
  CHECK(fs::hard_link_count(folders[3] + "/old") == 5);
  CHECK((fs::status(folders[3] + "/old program").permissions() & fs::perms::owner_exec) ==
        fs::perms::owner_exec);
  f.busy = {ann};
  f.round();
  CHECK(fs::exists(folders[3]));
  f.busy.clear();
  f.close();
  f.open();
  // A folder that a killed server left half made, or half removed.
  fs::create_directories(f.folder / "mounts/abc.tmp/x");
  fs::create_directories(f.folder / "mounts/def.gone/x");
  f.round();
  for (int i = 0; i < 3; ++i) {
    CHECK(fs::exists(folders[static_cast<std::size_t>(i)]));
  }
  CHECK_FALSE(fs::exists(folders[3]));
  CHECK_FALSE(f.catalog->mounts.find("mo-old"));
  CHECK(std::distance(fs::directory_iterator(f.folder / "mounts"), {}) == 3);
  CHECK(f.blobs->contains(ann.str(), file));
  f.in_use.clear();
  f.round();
  CHECK_FALSE(fs::exists(folders[1]));
}

TEST_CASE("a file of a mount that is named twice leaves its blob as it is") {
  Fixture f;
  const std::string one = f.put("one");
  const std::string two = f.put("two, which is longer");
  f.mount("mo-1", {{"/x", one, 0644}, {"/x", two, 0755}, {"/x", one, 0644}});
  f.lay_out("mo-1");
  CHECK(*f.loop.run_task(f.blobs->get(ann.str(), one)) == "one");
  CHECK(*f.loop.run_task(f.blobs->get(ann.str(), two)) == "two, which is longer");
}

TEST_CASE("a workspace's logs are cut to its share, the largest first") {
  Fixture f;
  const auto print = [&](const std::string& stream, int lines) {
    for (int i = 0; i < lines; ++i) {
      logs::Line line;
      line.text = std::string(1'000, 'x');
      f.logs->append(stream, std::move(line));
    }
  };
  const auto bytes_of = [&](const std::string& stream) {
    for (const logs::StreamUse& use : f.logs->uses()) {
      if (use.stream == stream) {
        return use.bytes;
      }
    }
    return std::uint64_t{0};
  };
  const auto all = [&](const std::string& stream) {
    logs::Query query;
    query.limit = 10'000;
    return f.loop.run_task(f.logs->find(stream, query))->size();
  };
  print("ann-loud", 300);
  print("ann-quiet", 20);
  print("bob-app", 80);
  CHECK(all("ann-loud") == 300);
  CHECK(all("ann-quiet") == 20);
  CHECK(all("bob-app") == 80);
  f.round();
  print("ann-loud", 1);  // stored behind the cut
  CHECK(all("ann-loud") < 80);
  CHECK(all("ann-loud") > 50);
  CHECK(bytes_of("ann-loud") + bytes_of("ann-quiet") <= 100'000);
  CHECK(all("ann-quiet") == 20);
  CHECK(all("bob-app") == 80);
}
