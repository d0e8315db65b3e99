// SPDX-License-Identifier: Apache-2.0
#include "thaw/store/data_folder.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::store;

TEST_CASE("a data folder has one owner, and the next one is told who") {
  TempFolder folder;
  {
    const auto mine = DataFolder::claim(folder / "deep/data");
    REQUIRE(mine);
    const auto second = DataFolder::claim(folder / "deep/data");
    REQUIRE_FALSE(second);
    CHECK(second.error().code() == Code::failed_precondition);
    CHECK(second.error().message().find("pid " + std::to_string(::getpid())) != std::string::npos);
    CHECK(second.error().message().find(folder / "deep/data") != std::string::npos);
  }
  CHECK(DataFolder::claim(folder / "deep/data"));
}

TEST_CASE("the claim dies with its process") {
  TempFolder folder;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto claim = DataFolder::claim(folder.path());
    const char done = claim ? 'y' : 'n';
    [[maybe_unused]] const ssize_t told = ::write(ready[1], &done, 1);
    ::pause();
    ::_exit(0);
  }
  char told = 0;
  REQUIRE(::read(ready[0], &told, 1) == 1);
  CHECK(told == 'y');
  CHECK_FALSE(DataFolder::claim(folder.path()));
  ::kill(child, SIGKILL);
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(DataFolder::claim(folder.path()));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("a data folder is closed to others, a folder of something else stays as it is") {
  namespace fs = std::filesystem;
  const auto mode = [](const std::string& path) { return fs::status(path).permissions(); };
  TempFolder folder;
  const std::string open = folder / "open";
  fs::create_directory(open);
  fs::permissions(open, fs::perms(0755));
  CHECK(DataFolder::claim(open));
  CHECK(mode(open) == fs::perms(0700));
  fs::permissions(open, fs::perms(0755));  // as an earlier version left it
  CHECK(DataFolder::claim(open));
  CHECK(mode(open) == fs::perms(0700));
  const std::string other = folder / "other";
  fs::create_directory(other);
  fs::permissions(other, fs::perms(01777));
  fs::create_directory(other + "/something");
  const auto claim = DataFolder::claim(other);
  REQUIRE_FALSE(claim);
  CHECK(claim.error().message().find(other) != std::string::npos);
  CHECK(mode(other) == fs::perms(01777));
  CHECK_FALSE(fs::exists(other + "/lock"));
}

TEST_CASE("a claim moves with its value") {
  TempFolder folder;
  auto first = DataFolder::claim(folder.path());
  REQUIRE(first);
  DataFolder second = std::move(*first);
  CHECK_FALSE(DataFolder::claim(folder.path()));
  CHECK(second.path() == folder.path());
}

TEST_CASE("a file where the folder should be is an error") {
  TempFolder folder;
  REQUIRE(DataFolder::claim(folder.path()));
  CHECK_FALSE(DataFolder::claim(folder / "lock"));
}
