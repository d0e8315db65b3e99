// SPDX-License-Identifier: Apache-2.0
// What hears a build's output and is slower than it.
#include <doctest/doctest.h>

#include "thaw/async/task_group.h"
#include "thaw/image/image_fixture_test.h"

using namespace thaw;
using namespace thaw::image;

namespace {

// A log that has no room until it is told.
struct SlowLog {
  std::string heard;
  bool has_room = false;
  int waits = 0;
  async::Event room;

  static async::Task<void> wait(SlowLog& self) {
    ++self.waits;
    self.room.notify_all();
    while (!self.has_room) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await self.room.wait(Instant::max()));
    }
    co_return ok();
  }
  BuildLog log() {
    return BuildLog([this](logs::Channel, const std::string& text) { heard += text; },
                    [this] { return wait(*this); });
  }
};

async::Task<void> build(Builder& builder, Recipe recipe, BuildLog log, bool& done) {
  const auto result = co_await builder.build(std::move(recipe), std::move(log));
  done = result.has_value();
  co_return result ? Result<void>() : result.error();
}

async::Task<void> until_two_wait(SlowLog& log) {
  while (log.waits < 2) {
    THAW_CO_TRY([[maybe_unused]] const bool n, co_await log.room.wait(Instant::max()));
  }
  co_return ok();
}

}  // namespace

TEST_CASE("what a step prints is read as fast as those who hear it have room, and all arrives") {
  if (!can_mount()) return;
  FakeHouse house;
  house.spawner.run = [](const sandbox::SandboxSpec&) {
    FakeProgram program;
    program.out = {"first piece\n", "second piece\n", "third piece\n"};
    return program;
  };
  SlowLog slow;
  std::string other;
  BuildLog fast = [&other](logs::Channel, const std::string& text) { other += text; };
  bool done = false;
  bool other_done = false;
  async::TaskGroup tasks(house.loop);
  const Recipe recipe = FakeHouse::recipe({"FROM scratch", "RUN print"});
  tasks.start("build", build(*house.builder, recipe, slow.log(), done));
  tasks.start("build", build(*house.builder, recipe, fast, other_done));
  REQUIRE(house.loop.run_task(until_two_wait(slow)));  // both streams of the program
  CHECK(slow.heard.find("piece") == std::string::npos);
  slow.has_room = true;
  slow.room.notify_all();
  REQUIRE(*house.loop.run_task(tasks.join(monotonic_now() + 20s)));
  CHECK(done);
  CHECK(other_done);
  for (const std::string& heard : {slow.heard, other}) {
    CHECK(heard.find("first piece\nsecond piece\nthird piece\n") != std::string::npos);
  }
}
