// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "thaw/base/time.h"
#include "thaw/os/cgroup.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

bool skipped_without_freezer() {
  if (skipped()) {
    return true;
  }
  const auto layout = os::CgroupLayout::detect();
  if (layout && !layout->freezer.empty()) {
    return false;
  }
  std::puts("skipped: this machine has no freezer");
  return true;
}

os::Cgroup group_of(const House& house, const Sandbox& sandbox) {
  return {*os::CgroupLayout::detect(),
          "thaw-" + house.options.instance + "/nobody/" + sandbox.id().str()};
}

async::Task<Code> freeze_and_tell(Sandbox& sandbox) {
  const auto frozen = co_await sandbox.freeze();
  co_return frozen ? Code::ok : frozen.error().code();
}

}  // namespace

TEST_CASE("a frozen sandbox stands still, and goes on where it was") {
  if (skipped_without_freezer()) return;
  House house;
  auto sandbox = house.start(house.spec({"signals"}));
  CHECK(house.first_output(*sandbox) == "ready\n");
  house.freeze(*sandbox);
  CHECK(group_of(house, *sandbox).is_frozen());
  CHECK(sandbox->memory_bytes() > 0);
  CHECK(sandbox->thaw());
  CHECK(!group_of(house, *sandbox).is_frozen());
  CHECK(sandbox->thaw());
  CHECK(sandbox->signal(SIGTERM));
  CHECK(house.finish(*sandbox).out == "got TERM\n");
  house.run(sandbox->remove());
}

TEST_CASE("a signal to a frozen sandbox arrives") {
  if (skipped_without_freezer()) return;
  House house;
  auto sandbox = house.start(house.spec({"signals"}));
  CHECK(house.first_output(*sandbox) == "ready\n");
  house.freeze(*sandbox);
  CHECK(sandbox->signal(SIGTERM));
  CHECK(house.finish(*sandbox).status.code == 7);
  house.run(sandbox->remove());
}

TEST_CASE("a frozen sandbox is killed, removed or left to the spawner like another") {
  if (skipped_without_freezer()) return;
  House house;
  auto killed = house.start(house.spec({"spin", "1000"}));
  house.freeze(*killed);
  CHECK(killed->signal(SIGKILL));
  CHECK(house.finish(*killed).status.signal == SIGKILL);
  house.run(killed->remove());

  auto removed = house.start(house.spec({"spin", "1000"}));
  const os::Cgroup group = group_of(house, *removed);
  house.freeze(*removed);
  house.run(removed->remove());
  CHECK(group.processes().empty());

  auto dropped = house.start(house.spec({"spin", "1000"}));
  house.freeze(*dropped);
  dropped.reset();

  auto left = house.start(house.spec({"spin", "1000"}));
  const os::Cgroup last = group_of(house, *left);
  house.freeze(*left);
  house.run(house.spawner->shut_down());
  CHECK(last.processes().empty());
  left.reset();
  house.spawner.reset();
}

TEST_CASE("a frozen sandbox that somebody has killed has ended, also where it dies when thawed") {
  if (skipped_without_freezer()) return;
  House house;
  auto sandbox = house.start(house.spec({"signals"}));
  CHECK(house.first_output(*sandbox) == "ready\n");
  house.freeze(*sandbox);
  CHECK(!sandbox->has_ended());
  REQUIRE(::kill(sandbox->pid(), SIGKILL) == 0);
  const Instant latest = monotonic_now() + 10s;
  while (!sandbox->has_ended() && monotonic_now() < latest) {
  }
  CHECK(sandbox->has_ended());
  CHECK(sandbox->thaw());
  const ExitStatus status = house.finish(*sandbox).status;
  CHECK(status.signal == SIGKILL);
  CHECK(status.killed_as_a_whole);
  house.run(sandbox->remove());
}

TEST_CASE("a thaw in the middle of a freeze wins") {
  if (skipped_without_freezer()) return;
  House house;
  auto sandbox = house.start(house.spec({"spin", "1000"}));
  for (int i = 0; i < 50; ++i) {
    async::TaskGroup tasks(house.loop);
    house.run([](House& h, Sandbox& s, async::TaskGroup& group) -> async::Task<void> {
      auto freezing = [](Sandbox& inner) -> async::Task<void> {
        const Code code = *co_await freeze_and_tell(inner);
        CHECK((code == Code::ok || code == Code::cancelled));
        co_return ok();
      };
      group.start("freeze", freezing(s));
      CHECK(s.thaw());
      CHECK(!group_of(h, s).is_frozen());
      THAW_CO_TRY([[maybe_unused]] const bool all, co_await group.join(Instant::max()));
      co_return ok();
    }(house, *sandbox, tasks));
    CHECK(!group_of(house, *sandbox).is_frozen());
  }
  house.run(sandbox->remove());
}

TEST_CASE("memory of a frozen sandbox is given back as far as this machine can") {
  if (skipped_without_freezer()) return;
  House house;
  auto sandbox = house.start(house.spec({"signals"}));
  CHECK(house.first_output(*sandbox) == "ready\n");
  house.freeze(*sandbox);
  const std::uint64_t before = sandbox->memory_bytes();
  CHECK(house.run(sandbox->reclaim()) <= before);
  CHECK(sandbox->signal(SIGTERM));
  CHECK(house.finish(*sandbox).status.code == 7);
  house.run(sandbox->remove());
}
