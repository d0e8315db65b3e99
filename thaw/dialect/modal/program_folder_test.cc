// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/program_folder.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::dialect::modal;

TEST_CASE("folders of killed servers' programs go, and those in use stay") {
  const store::TempFolder temporary;
  const std::string folder = temporary / "clients";
  ProgramFolder::sweep(folder);  // of nothing
  auto own = ProgramFolder::make(folder, "1-own");
  REQUIRE(own);
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t other = ::fork();
  if (other == 0) {
    const auto its = ProgramFolder::make(folder, "2-other");
    ::_exit(its && ::write(ready[1], "x", 1) == 1 ? ::pause() : 1);
  }
  char told = 0;
  REQUIRE(::read(ready[0], &told, 1) == 1);
  std::filesystem::create_directories(folder + "/program-77-of-an-older-version/deep");
  std::filesystem::create_directories(folder + "/pkg-1.2.3");
  ProgramFolder::sweep(folder);
  CHECK(std::filesystem::exists(own->path()));
  CHECK(std::filesystem::exists(folder + "/program-2-other"));
  CHECK(!std::filesystem::exists(folder + "/program-77-of-an-older-version"));
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  ProgramFolder::sweep(folder);
  CHECK(!std::filesystem::exists(folder + "/program-2-other"));
  CHECK(std::filesystem::exists(own->path()));
  CHECK(std::filesystem::exists(folder + "/pkg-1.2.3"));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("a link is followed to no program, and what cannot be looked at is passed over") {
  const store::TempFolder temporary;
  const std::string folder = temporary / "clients", others = temporary / "others";
  std::filesystem::create_directories(folder);
  std::filesystem::create_directories(others);
  std::filesystem::create_directory_symlink(others, folder + "/program-1");
  std::filesystem::create_symlink("program-2", folder + "/program-2");
  ProgramFolder::sweep(folder);
  CHECK(std::filesystem::is_empty(others));
  std::filesystem::create_symlink("loop", temporary / "loop");
  ProgramFolder::sweep(temporary / "loop");
}

TEST_CASE("a program's folder goes with its run") {
  const store::TempFolder temporary;
  std::string path;
  {
    const auto own = ProgramFolder::make(temporary / "clients", "1");
    REQUIRE(own);
    path = own->path();
    CHECK(std::filesystem::exists(path));
  }
  CHECK(!std::filesystem::exists(path));
}
