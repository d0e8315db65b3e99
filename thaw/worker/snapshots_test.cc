// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/snapshots.h"

#include <doctest/doctest.h>
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
  bool has_ended() const override { return ended; }

  bool ended = false;
};

std::string home_in(const store::TempFolder& temporary) {
  std::filesystem::create_directory(temporary / "ta-1");
  return temporary / "ta-1";
}

struct Home {
  Home() : report(make_report(folder)) {}
  static StartReport make_report(const std::string& folder) {
    auto report = StartReport::make(folder + ".start");
    REQUIRE(report);
    return std::move(*report);
  }
  Result<void> wake(sandbox::Sandbox& sandbox, Duration patience = 10s) {
    return loop.run_task(wake_restored(sandbox, point, report, folder, patience));
  }

  store::TempFolder temporary;
  std::string folder = home_in(temporary);
  StartReport report;
  SnapshotPoint point{61, "who.json", "{\"task_id\": \"ta-1\"}"};
  async::Loop loop;
};

}  // namespace

TEST_CASE("a restore that fails for want of something says nothing of its snapshot") {
  struct Row {
    const char* what;
    Error error;
    bool is_its_own;
  };
  for (const Row& row :
       {Row{"criu found it wrong", Error::failed_precondition("criu: no such file"), true},
        {"its files are damaged", Error::data_loss("a page is missing"), true},
        {"its program says nothing", Error::deadline_exceeded("did not answer"), true},
        {"there is no memory", Error::resource_exhausted("Cannot allocate memory"), false},
        {"criu was killed", Error::aborted("criu was killed"), false},
        {"the spawner has ended", Error::unavailable("the spawner has ended"), false},
        {"a mount failed", Error::internal("mount: I/O error"), false}}) {
    CAPTURE(row.what);
    CHECK(is_of_snapshot(row.error) == row.is_its_own);
  }
}

TEST_CASE("a restored program that has answered is told who it is, when it asks") {
  Home home;
  std::ofstream(home.folder + ".start") << "12 restorable\n";
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
  std::ofstream(home.folder + ".start") << "12 restorable\n";
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
  restored.ended = true;
  const Result<void> woken = home.wake(restored, 1h);
  REQUIRE(!woken);
  CHECK(woken.error().code() == Code::unavailable);
}
