// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/disk_watch.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>

#include "thaw/store/temp_folder_test.h"
#include "thaw/worker/tree_use.h"

using namespace thaw;
using namespace thaw::control;
namespace fs = std::filesystem;

namespace {

using Kind = store::DiskShares::Kind;

struct Fixture {
  store::TempFolder folder;
  async::Loop loop;
  async::Pool pool{2};
  store::DiskShares disk;
  worker::Volumes volumes;
  std::vector<DiskUser> users;
  std::map<std::string, std::string> ended;  // and why
  std::set<std::string> retired;
  std::optional<DiskWatch> watch;

  explicit Fixture(std::uint64_t quota, std::uint64_t root_bytes)
      : disk(folder.path(), {.bytes_per_owner = quota, .reserve_bytes = 0}),
        volumes(loop, folder / "volumes", disk) {
    DiskWatchOptions options;
    options.root_bytes = root_bytes;
    watch.emplace(
        DiskWatchParts{
            loop, disk, volumes, [this] { return users; },
            [this](model::ContainerId id) { return measure(folder / id.str()); },
            [this](const model::ContainerId& id, const std::string& why) { ended[id.str()] = why; },
            [this](const model::ContainerId& id) { retired.insert(id.str()); }},
        options);
  }
  DiskUser& add(const std::string& id, const std::string& workspace, std::size_t megabytes) {
    fs::create_directories(folder / id);
    std::ofstream(folder / (id + "/file")) << std::string(megabytes << 20, 'x');
    DiskUser user;
    user.container = model::ContainerId(id);
    user.workspace = model::WorkspaceId(workspace);
    users.push_back(user);
    return users.back();
  }
  static async::Task<worker::RootUse> measure(std::string root) {
    worker::TreeUse use(root);
    while (use.step() == worker::TreeUse::Progress::more) {
    }
    co_return worker::RootUse{use.bytes(), use.is_incomplete()};
  }
  void look() {
    ended.clear();
    REQUIRE(loop.run_task(watch->look()));
  }
};

}  // namespace

TEST_CASE("a container whose root is too large is ended with the limit, and no other") {
  Fixture f(0, 3u << 20);
  f.add("ta-small", "ac-ann", 1);
  f.add("ta-large", "ac-ann", 4);
  f.add("ta-asked", "ac-ann", 4).asked_bytes = 8u << 20;
  f.add("ta-modest", "ac-bob", 2).asked_bytes = 1u << 20;
  f.look();
  CHECK(f.ended.size() == 2);
  CHECK(f.ended["ta-large"].find("container_disk_gb") != std::string::npos);
  CHECK(f.ended["ta-large"].find("3 MiB") != std::string::npos);
  CHECK(f.ended["ta-modest"].find("1 MiB") != std::string::npos);
  CHECK(f.disk.used("ac-ann", Kind::containers) >= 9u << 20);
  f.users.clear();
  f.look();
  CHECK(f.disk.used("ac-ann") == 0);
}

TEST_CASE("past a workspace's quota those end that can write to its volumes, in it alone") {
  Fixture f(10u << 20, 0);
  f.add("ta-writer", "ac-ann", 1).writes_volumes = true;
  f.add("ta-reader", "ac-ann", 1);
  f.add("ta-other", "ac-bob", 1).writes_volumes = true;
  f.look();
  CHECK(f.ended.empty());
  f.disk.set("ac-ann", Kind::volumes, 20u << 20);
  f.look();
  CHECK(f.ended.size() == 1);
  CHECK(f.ended["ta-writer"].find("workspace_disk_gb") != std::string::npos);
  CHECK(f.ended["ta-writer"].find("volumes 20 MiB") != std::string::npos);
  // The next one finds its volumes read-only, and gives way once there is room.
  f.users[0].writes_volumes = false;
  f.users[0].found_no_room = true;
  f.look();
  CHECK(f.ended.empty());
  CHECK(f.retired.empty());
  f.disk.set("ac-ann", Kind::volumes, 0);
  f.look();
  CHECK(f.retired == std::set<std::string>{"ta-writer"});
}

TEST_CASE("past a quota that is taken by roots the largest one ends") {
  Fixture f(40u << 20, 0);
  f.add("ta-1", "ac-ann", 20);
  f.add("ta-2", "ac-ann", 30);
  f.add("ta-3", "ac-bob", 30);
  f.look();
  CHECK(f.ended.size() == 1);
  CHECK(f.ended.contains("ta-2"));
}
