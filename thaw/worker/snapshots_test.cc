// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/snapshots.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "thaw/async/loop.h"
#include "thaw/sandbox/testing/fake_sandbox.h"
#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

struct Restored : sandbox::testing::FakeSandbox {
  Restored() : FakeSandbox(model::ContainerId("ta-1")) {}
  int pid() const override { return number; }

  int number = ::getpid();
};

std::string home_in(const store::TempFolder& temporary) {
  std::filesystem::create_directory(temporary / "ta-1");
  return temporary / "ta-1";
}

struct Home {
  StartFile reads(const std::string& text) {
    std::ofstream(folder + ".start") << text;
    return read_start_file(folder);
  }
  Result<void> wake(sandbox::Sandbox& sandbox, Duration patience = 10s) {
    return loop.run_task(wake_restored(sandbox, point, folder, patience));
  }

  store::TempFolder temporary;
  std::string folder = home_in(temporary);
  SnapshotPoint point{61, "who.json", "{\"task_id\": \"ta-1\"}"};
  async::Loop loop;
};

}  // namespace

TEST_CASE("a start file tells when the interpreter ran its first line, and what it can do") {
  Home home;
  const Instant now = monotonic_now();
  const std::string text = std::to_string(now.time_since_epoch().count());
  CHECK(home.reads(text).started == now);
  CHECK(!home.reads(text).is_restorable);
  CHECK(home.reads(text + " restorable").is_restorable);
  CHECK(home.reads(text + " restorable\n").is_restorable);
}

TEST_CASE("a start file that makes no sense tells nothing, and costs nothing") {
  Home home;
  CHECK(read_start_file(home.folder).started == Instant{});
  const std::string future = std::to_string((monotonic_now() + 1h).time_since_epoch().count());
  for (const std::string& text :
       {std::string(), std::string("soon"), std::string("-5"), std::string("99999999999999999999"),
        future, std::string(1 << 20, '\0'), std::string(1 << 20, '9'),
        std::string("1e9 restorable")}) {
    CHECK(home.reads(text).started <= monotonic_now());
  }
  CHECK(home.reads("soon").started == Instant{});
  CHECK(home.reads(future).started == Instant{});
  CHECK(!home.reads("12 restorable" + std::string(1 << 20, 'x')).is_restorable);
}

TEST_CASE("a restored program that has answered is told who it is, when it asks") {
  Home home;
  std::ofstream(home.folder + ".start") << "12 restorable";
  REQUIRE(expect_restored(home.point, home.folder));
  std::string told;
  std::thread program([&] { std::getline(std::ifstream(home.folder + "/who.json"), told); });
  Restored restored;
  const Result<void> woken = home.wake(restored);
  program.join();
  REQUIRE(woken);
  CHECK(told == home.point.file_bytes);
}

TEST_CASE("a restored program that does not ask who it is is given up") {
  Home home;
  std::ofstream(home.folder + ".start") << "12 restorable";
  REQUIRE(expect_restored(home.point, home.folder));
  Restored restored;
  const Result<void> woken = home.wake(restored, 20ms);
  REQUIRE(!woken);
  CHECK(woken.error().code() == Code::deadline_exceeded);
}

TEST_CASE("a restored program that says nothing is given up") {
  Home home;
  Restored restored;
  const Result<void> woken = home.wake(restored, 20ms);
  REQUIRE(!woken);
  CHECK(woken.error().code() == Code::deadline_exceeded);
}

TEST_CASE("a restored program that has ended is not waited for") {
  Home home;
  Restored restored;
  restored.number = ::fork();
  if (restored.number == 0) {
    ::_exit(0);
  }
  ::waitpid(restored.number, nullptr, 0);
  const Result<void> woken = home.wake(restored, 1h);
  REQUIRE(!woken);
  CHECK(woken.error().code() == Code::unavailable);
}
