// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "thaw/os/fd.h"
#include "thaw/os/files.h"

using namespace thaw;
using namespace thaw::os;

namespace {

struct Temporary {
  Temporary() {
    char path[] = "/tmp/thaw-remove-XXXXXX";
    folder = ::mkdtemp(path);
  }
  ~Temporary() { (void)remove_tree(folder); }
  std::string folder;
};

// A chain of folders below `path`, each with a file beside the next.
void make_chain(const std::string& path, int depth, const std::string& name) {
  REQUIRE(make_folders(path));
  Fd at(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < depth; ++i) {
    REQUIRE(Fd(::openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)).valid());
    REQUIRE(::mkdirat(at.get(), name.c_str(), 0700) == 0);
    at = Fd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(at.valid());
  }
}

// False where the file system has no such flag.
bool make_immutable(const std::string& path, bool immutable) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  int flags = 0;
  if (::ioctl(fd.get(), FS_IOC_GETFLAGS, &flags) != 0) {
    return false;
  }
  flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flags) == 0;
}

struct Immutable {
  explicit Immutable(std::string path_) : path(std::move(path_)), is(make_immutable(path, true)) {}
  ~Immutable() { make_immutable(path, false); }
  std::string path;
  bool is;
};

bool skipped() {
  if (::geteuid() == 0) {
    return false;
  }
  std::puts("skipped: needs root");
  return true;
}

}  // namespace

TEST_CASE("a tree of any depth is removed, also where no path is long enough for it") {
  Temporary temporary;
  const std::string tree = temporary.folder + "/tree";
  make_chain(tree, 6'000, "d");
  make_chain(tree + "/wide", 100, std::string(255, 'n'));
  make_chain(tree + "/.removing-1", 300, ".removing-1");
  CHECK(remove_tree(tree));
  CHECK(!exists(tree));
}

TEST_CASE("a folder with many entries, some of them deep, is removed wholly") {
  Temporary temporary;
  const std::string tree = temporary.folder + "/tree";
  for (int i = 0; i < 3'000; ++i) {
    REQUIRE(make_folders(tree + "/entry-" + std::to_string(i) + "/inner"));
  }
  for (int i = 0; i < 40; ++i) {
    make_chain(tree + "/entry-" + std::to_string(i), 150, "deep");
  }
  CHECK(remove_tree(tree));
  CHECK(!exists(tree));
}

TEST_CASE("what is mounted in a tree is not entered, not even from the same file system") {
  if (skipped()) return;
  Temporary temporary;
  const std::string tree = temporary.folder + "/tree", kept = temporary.folder + "/kept";
  REQUIRE(make_folders(tree + "/a/mount"));
  REQUIRE(make_folders(tree + "/b/c"));
  REQUIRE(make_folders(kept + "/inner"));
  REQUIRE(create_text(kept + "/inner/file", "x"));
  REQUIRE(::mount(kept.c_str(), (tree + "/a/mount").c_str(), nullptr, MS_BIND, nullptr) == 0);
  const auto removed = remove_tree(tree);
  CHECK(::umount2((tree + "/a/mount").c_str(), MNT_DETACH) == 0);
  REQUIRE(!removed);
  CHECK(removed.error().to_string().find("tree/a/mount") != std::string::npos);
  CHECK(exists(kept + "/inner/file"));
  CHECK(!exists(tree + "/b"));
  CHECK(remove_tree(tree));
}

TEST_CASE("a tree that is a mount point itself is left alone") {
  if (skipped()) return;
  Temporary temporary;
  const std::string tree = temporary.folder + "/tree", kept = temporary.folder + "/kept";
  REQUIRE(make_folders(tree));
  REQUIRE(make_folders(kept + "/inner"));
  REQUIRE(::mount(kept.c_str(), tree.c_str(), nullptr, MS_BIND, nullptr) == 0);
  CHECK(!remove_tree(tree));
  CHECK(::umount2(tree.c_str(), MNT_DETACH) == 0);
  CHECK(exists(kept + "/inner"));
}

TEST_CASE("what is immutable stays and is named, and all else goes") {
  if (skipped()) return;
  Temporary temporary;
  const std::string tree = temporary.folder + "/tree";
  REQUIRE(make_folders(tree + "/a/folder/below"));
  REQUIRE(make_folders(tree + "/b"));
  make_chain(tree + "/c", 200, "d");
  REQUIRE(create_text(tree + "/b/file", "x"));
  {
    const Immutable file(tree + "/b/file"), folder(tree + "/a/folder");
    if (!file.is) {
      std::puts("skipped: this file system has no immutable files");
      return;
    }
    const auto removed = remove_tree(tree);
    REQUIRE(!removed);
    CHECK(removed.error().code() == Code::permission_denied);
    CHECK(exists(tree + "/b/file"));
    CHECK(!exists(tree + "/c"));
  }
  CHECK(remove_tree(tree));
}

TEST_CASE("a single file and a link are removed like a tree, and a link is not followed") {
  Temporary temporary;
  REQUIRE(create_text(temporary.folder + "/file", "x"));
  REQUIRE(make_folders(temporary.folder + "/kept/inner"));
  std::filesystem::create_directory_symlink("kept", temporary.folder + "/link");
  CHECK(remove_tree(temporary.folder + "/file"));
  CHECK(remove_tree(temporary.folder + "/link"));
  CHECK(!exists(temporary.folder + "/link"));
  CHECK(exists(temporary.folder + "/kept/inner"));
  CHECK(remove_tree(temporary.folder + "/never-was/inner"));
}
