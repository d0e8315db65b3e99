// SPDX-License-Identifier: Apache-2.0
#include "thaw/snapshot/snapshot_store.h"

#include <doctest/doctest.h>
#include <sys/mount.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

#include "thaw/async/loop.h"
#include "thaw/os/files.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::snapshot;

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t small = 1 << 20;

struct Shelf {
  explicit Shelf(SnapshotLimits given = {}) : limits(given) {
    limits.free_bytes = 0;
    open("this machine");
  }
  void open(const std::string& machine) {
    auto opened = SnapshotStore::open(pool, folder, machine, limits);
    REQUIRE(opened);
    store = std::move(*opened);
  }
  template <class T>
  Result<T> run(async::Task<T> task) {
    return loop.run_task(std::move(task));
  }
  SnapshotPtr add(const SnapshotKey& key, const std::string& text = "pages") {
    const auto staging = store->begin(small);
    REQUIRE(staging);
    std::ofstream(*staging + "/images/pages-1.img") << text;
    std::ofstream(*staging + "/images/core-1000.img") << "core";
    fs::create_directories(*staging + "/upper/root");
    std::ofstream(*staging + "/upper/root/cache") << "cached";
    auto added = run(store->commit(*staging, key, {11, 22}));
    REQUIRE_MESSAGE(added, (added ? "" : added.error().to_string()));
    return *added;
  }
  Code find_code(const SnapshotKey& key) {
    const auto found = run(store->find(key));
    return found ? Code::ok : found.error().code();
  }

  store::TempFolder temporary;
  std::string folder = temporary / "snapshots";
  SnapshotLimits limits;
  async::Loop loop;
  async::Pool pool{1};
  std::unique_ptr<SnapshotStore> store;
};

const SnapshotKey key{"ws-1", "fu-1", "abc"};

}  // namespace

TEST_CASE("what is no snapshot in the folder stays, whatever it is called") {
  Shelf shelf;
  const std::string id = shelf.add(key)->id;
  const std::string others = shelf.temporary / "others";
  const std::string digest(64, 'a');
  fs::create_directories(others + "/" + digest);
  fs::create_directories(shelf.folder + "/home/somebody/papers");
  fs::create_directories(shelf.folder + "/ws-1/notes");
  std::ofstream(shelf.folder + "/file") << "text";
  fs::create_directory_symlink(others, shelf.folder + "/ws-2");
  fs::create_directories(shelf.folder + "/ws-3/" + digest);
  fs::create_symlink("nowhere", shelf.folder + "/ws-3/\n");
  shelf.open("this machine");
  CHECK(shelf.find_code(key) == Code::ok);
  CHECK(fs::exists(others + "/" + digest));
  CHECK(fs::exists(shelf.folder + "/home/somebody/papers"));
  CHECK(fs::exists(shelf.folder + "/ws-1/notes"));
  CHECK(fs::exists(shelf.folder + "/file"));
  CHECK_FALSE(fs::exists(shelf.folder + "/ws-3/" + digest));  // a snapshot that is none
}

TEST_CASE("a snapshot is found by its key, also after a restart of the server") {
  Shelf shelf;
  const std::string id = shelf.add(key)->id;
  for (int start = 0; start < 2; ++start) {
    const auto found = shelf.run(shelf.store->find(key));
    REQUIRE(found);
    CHECK((*found)->id == id);
    CHECK((*found)->checkpoint.stdout_pipe == 11);
    CHECK((*found)->checkpoint.stderr_pipe == 22);
    CHECK(os::exists((*found)->images() + "/pages-1.img"));
    shelf.open("this machine");
  }
  CHECK((fs::status(shelf.folder).permissions() & fs::perms::all) == fs::perms::owner_all);
}

TEST_CASE("another workspace, function or key does not find it") {
  Shelf shelf;
  shelf.add(key);
  CHECK(shelf.find_code({"ws-2", "fu-1", "abc"}) == Code::not_found);
  CHECK(shelf.find_code({"ws-1", "fu-2", "abc"}) == Code::not_found);
  CHECK(shelf.find_code({"ws-1", "fu-1", "abd"}) == Code::failed_precondition);
  CHECK(shelf.find_code(key) == Code::ok);
}

TEST_CASE("damage of every kind is found, at once and after a restart, and retires the snapshot") {
  const auto damages = {
      +[](const Snapshot& s) { fs::resize_file(s.images() + "/pages-1.img", 2); },
      +[](const Snapshot& s) { store::overwrite(s.images() + "/pages-1.img", 1, "X"); },
      +[](const Snapshot& s) { fs::remove(s.images() + "/core-1000.img"); },
      +[](const Snapshot& s) { std::ofstream(s.images() + "/more.img") << "more"; },
      +[](const Snapshot& s) { store::overwrite(s.upper() + "/root/cache", 0, "X"); },
      +[](const Snapshot& s) {
        fs::rename(s.images() + "/core-1000.img", s.images() + "/other");
        fs::rename(s.images() + "/pages-1.img", s.images() + "/core-1000.img");
        fs::rename(s.images() + "/other", s.images() + "/pages-1.img");
      }};
  for (const auto damage : damages) {
    for (const bool restarted : {false, true}) {
      Shelf shelf;
      damage(*shelf.add(key));
      if (restarted) {
        shelf.open("this machine");
      }
      CHECK(shelf.find_code(key) == Code::data_loss);
      CHECK(shelf.find_code(key) == Code::not_found);
      CHECK(shelf.run(shelf.store->collect()));
      CHECK(os::list_folder(shelf.folder + "/ws-1").empty());
    }
  }
}

TEST_CASE("a file that was replaced by its like is read again and found good") {
  Shelf shelf;
  const SnapshotPtr snapshot = shelf.add(key);
  std::ofstream(snapshot->images() + "/new") << "pages";
  fs::permissions(snapshot->images() + "/new",
                  fs::status(snapshot->images() + "/pages-1.img").permissions());
  fs::rename(snapshot->images() + "/new", snapshot->images() + "/pages-1.img");
  CHECK(shelf.find_code(key) == Code::ok);
}

TEST_CASE("a manifest that was edited, and one swapped in from another workspace, are not loaded") {
  Shelf shelf;
  const SnapshotPtr mine = shelf.add(key);
  const SnapshotPtr theirs = shelf.add({"ws-2", "fu-1", "abc"}, "their pages");
  store::overwrite(mine->folder + "/manifest.json", 20, "9");
  fs::create_directories(shelf.folder + "/ws-3");
  fs::copy(theirs->folder, shelf.folder + "/ws-3/" + theirs->id, fs::copy_options::recursive);
  shelf.open("this machine");
  CHECK(shelf.find_code(key) == Code::not_found);
  CHECK(shelf.find_code({"ws-3", "fu-1", "abc"}) == Code::not_found);
  CHECK(shelf.find_code({"ws-2", "fu-1", "abc"}) == Code::ok);
  CHECK(os::list_folder(shelf.folder + "/ws-3").empty());
}

TEST_CASE("another kernel, CPU, boot or CRIU knows no old snapshots and removes them") {
  Shelf shelf;
  shelf.add(key);
  shelf.open("another machine");
  CHECK(shelf.find_code(key) == Code::not_found);
  CHECK(os::list_folder(shelf.folder + "/ws-1").empty());
}

TEST_CASE("a new key of a function supersedes the old one, whose files stay while they are used") {
  Shelf shelf;
  SnapshotPtr old = shelf.add(key);
  const std::string folder = old->folder;
  shelf.add({"ws-1", "fu-1", "next"});
  CHECK(shelf.find_code(key) == Code::failed_precondition);
  CHECK(shelf.run(shelf.store->collect()));
  CHECK(os::exists(folder + "/upper/root/cache"));
  old.reset();
  CHECK(shelf.run(shelf.store->collect()));
  CHECK(!os::exists(folder));
}

TEST_CASE("failures in a row retire a snapshot, a success in between starts again") {
  Shelf shelf;
  const SnapshotPtr snapshot = shelf.add(key);
  shelf.store->failed(*snapshot);
  shelf.store->failed(*snapshot);
  shelf.store->succeeded(*snapshot);
  shelf.store->failed(*snapshot);
  shelf.store->failed(*snapshot);
  CHECK(shelf.find_code(key) == Code::ok);
  shelf.store->failed(*snapshot);
  CHECK(shelf.find_code(key) == Code::not_found);
}

TEST_CASE("over the size limit the least used go first") {
  SnapshotLimits limits;
  limits.bytes = 3 * small;
  Shelf shelf(limits);
  const std::string megabyte(small, 'x');
  shelf.add({"ws-1", "fu-a", "k"}, megabyte);
  shelf.add({"ws-1", "fu-b", "k"}, megabyte);
  CHECK(shelf.find_code({"ws-1", "fu-a", "k"}) == Code::ok);  // used since
  shelf.add({"ws-1", "fu-c", "k"}, megabyte);
  CHECK(shelf.find_code({"ws-1", "fu-a", "k"}) == Code::ok);
  CHECK(shelf.find_code({"ws-1", "fu-b", "k"}) == Code::not_found);
  CHECK(shelf.find_code({"ws-1", "fu-c", "k"}) == Code::ok);
  CHECK(os::list_folder(shelf.folder + "/ws-1").size() == 2);
}

TEST_CASE("what is not used for long goes") {
  SnapshotLimits limits;
  limits.unused = Duration(1);
  Shelf shelf(limits);
  shelf.add(key);
  CHECK(shelf.run(shelf.store->collect()));
  CHECK(shelf.store->size() == 0);
}

TEST_CASE("a restart neither forgets when a snapshot was used last nor counts as a use") {
  Shelf shelf;
  const std::string manifest = shelf.add(key)->folder + "/manifest.json";
  const auto ago = [&](std::chrono::hours time) {
    fs::last_write_time(manifest, fs::file_time_type::clock::now() - time);
    shelf.open("this machine");
  };
  ago(13 * 24h);
  CHECK(shelf.run(shelf.store->check_all()));
  CHECK(shelf.store->size() == 1);
  CHECK(shelf.find_code(key) == Code::ok);  // a use, which the next start knows of
  CHECK(fs::last_write_time(manifest) > fs::file_time_type::clock::now() - 1h);
  ago(15 * 24h);
  CHECK(shelf.store->size() == 1);
  CHECK(shelf.run(shelf.store->check_all()));
  CHECK(shelf.store->size() == 0);
  CHECK(!os::exists(manifest));
}

TEST_CASE("an unfinished snapshot is gone after abandon and after a restart") {
  Shelf shelf;
  const auto first = shelf.store->begin(small);
  const auto second = shelf.store->begin(small);
  REQUIRE(first);
  REQUIRE(second);
  CHECK(*first != *second);
  CHECK(shelf.run(shelf.store->abandon(*first)));
  CHECK(!os::exists(*first));
  shelf.open("this machine");
  CHECK(!os::exists(*second));
  CHECK(shelf.store->size() == 0);
}

TEST_CASE("a full disk is refused before and survived during a snapshot") {
  store::TempFolder temporary;
  const std::string disk = temporary / "disk";
  fs::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=4m") != 0) {
    std::puts("skipped: a small disk needs root");
    return;
  }
  async::Loop loop;
  async::Pool pool(1);
  SnapshotLimits limits;
  limits.free_bytes = small;
  {
    auto store = SnapshotStore::open(pool, disk + "/snapshots", "m", limits);
    REQUIRE(store);
    const auto refused = (*store)->begin(8 * small);
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::resource_exhausted);
    const auto staging = (*store)->begin(small);
    REQUIRE(staging);
    std::ofstream(*staging + "/images/pages-1.img") << std::string(5 * small, 'x');  // cut short
    CHECK(fs::file_size(*staging + "/images/pages-1.img") < 5 * small);
    const auto committed = loop.run_task((*store)->commit(*staging, key, {}));
    CHECK(!committed);
    CHECK(!os::exists(*staging));
    CHECK((*store)->size() == 0);
    CHECK((*store)->begin(small));
  }
  ::umount(disk.c_str());
}

TEST_CASE("a snapshot is opened by its name as long as somebody may use its files") {
  Shelf shelf;
  SnapshotPtr held = shelf.add(key);
  const std::string name = held->id;
  REQUIRE(shelf.store->open(name));
  CHECK((*shelf.store->open(name))->folder == held->folder);
  shelf.store->retire(*held, "as asked");
  CHECK(shelf.run(shelf.store->collect()));
  CHECK(shelf.store->open(name));  // it was offered before
  held.reset();
  CHECK(shelf.run(shelf.store->collect()));
  const auto gone = shelf.store->open(name);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code() == Code::not_found);
}

TEST_CASE("what is tried has the name of the place in which it was written, and nothing else has") {
  Shelf shelf;
  const auto staging = shelf.store->begin(small);
  REQUIRE(staging);
  const std::string name = SnapshotStore::name_of(*staging);
  CHECK(shelf.store->staging_of(name).value_or("") == *staging);
  CHECK_FALSE(shelf.store->open(name));
  auto preview = shelf.store->preview(*staging, key, {});
  REQUIRE(preview);
  REQUIRE(shelf.store->open(name));
  CHECK((*shelf.store->open(name))->images() == *staging + "/images");
  CHECK(shelf.find_code(key) == Code::not_found);
  *preview = nullptr;
  CHECK_FALSE(shelf.store->open(name));
  for (const char* other : {"", "staging-", "staging-1/../..", "staging-x", "1", "staging-1 "}) {
    CAPTURE(other);
    CHECK_FALSE(shelf.store->staging_of(other));
    CHECK_FALSE(shelf.store->open(other));
  }
}
