// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/tree_use.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::worker;
namespace fs = std::filesystem;

namespace {

TreeUse walked(const std::string& folder, int* steps = nullptr) {
  TreeUse use(folder);
  int count = 1;
  while (use.step() == TreeUse::Progress::more) {
    ++count;
  }
  if (steps != nullptr) {
    *steps = count;
  }
  return use;
}

}  // namespace

TEST_CASE("a tree takes what its blocks take: no holes, no links, each file once") {
  store::TempFolder folder;
  fs::create_directories(folder / "tree/a");
  fs::create_directories(folder / "outside");
  std::ofstream(folder / "outside/large") << std::string(1 << 20, 'o');
  std::ofstream(folder / "tree/a/file") << std::string(1 << 20, 'x');
  fs::create_hard_link(folder / "tree/a/file", folder / "tree/again");
  fs::create_directory_symlink(folder / "outside", folder / "tree/link");
  {
    const os::Fd sparse(::open((folder / "tree/sparse").c_str(), O_WRONLY | O_CREAT, 0644));
    REQUIRE(::ftruncate(sparse.get(), off_t{1} << 40) == 0);
  }
  const TreeUse use = walked(folder / "tree");
  CHECK(use.bytes() >= 1 << 20);
  CHECK(use.bytes() < (1 << 20) + (256 << 10));
  CHECK(use.entries() == 5);
  CHECK_FALSE(use.is_incomplete());
  CHECK(walked(folder / "gone").bytes() == 0);
}

TEST_CASE("a wide tree is walked in steps, and a deep one with few descriptors") {
  store::TempFolder folder;
  fs::create_directories(folder / "wide");
  for (int i = 0; i < 5'000; ++i) {
    std::ofstream(folder / ("wide/" + std::to_string(i)));
  }
  int steps = 0;
  CHECK(walked(folder / "wide", &steps).entries() == 5'000);
  CHECK(steps >= 3);
  os::Fd at(::open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  constexpr int depth = 3'000;
  for (int i = 0; i < depth; ++i) {
    REQUIRE(::mkdirat(at.get(), "d", 0755) == 0);
    at = os::Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(at.valid());
  }
  const os::Fd file(::openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  const std::string text(1 << 20, 'x');
  REQUIRE(::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  const TreeUse deep = walked(folder / "d");
  CHECK(deep.entries() == depth);
  CHECK(deep.bytes() >= 1 << 20);
  CHECK_FALSE(deep.is_incomplete());
  // Taken apart from above: the folder's own removal does not go so deep.
  for (int i = 0; i < depth; ++i) {
    const std::string inner = folder / "d/d";
    fs::rename(inner, folder / "next");
    fs::remove_all(folder / "d");
    fs::rename(folder / "next", folder / "d");
    if (!fs::exists(folder / "d/d")) {
      break;
    }
  }
}
