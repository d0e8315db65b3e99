// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "thaw/os/cgroup.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

TEST_SUITE_BEGIN("security.limits");

TEST_CASE("a fork bomb ends at its limit, and the next sandbox starts as ever") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"forks", "100000"});
  spec.limits.pids = 64;
  CHECK(house.run_to_end(std::move(spec)).out == "62 EAGAIN\n");
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
}

TEST_CASE(
    "all sandboxes of a workspace share a number of processes, and all of the server another") {
  if (skipped()) return;
  House house;
  const auto of_workspace = [&house](const char* workspace, std::vector<std::string> argv) {
    SandboxSpec spec = house.spec(std::move(argv));
    spec.workspace = workspace;
    return spec;
  };
  auto first = house.start(of_workspace("greedy", {"sleep", "100"}));
  CHECK(house.first_output(*first) == "sleeping\n");
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  const std::string all = layout->pids + "/thaw-" + house.options.instance;
  const int most = std::stoi(read_file("/proc/sys/kernel/pid_max"));
  const int of_all = std::stoi(read_file(all + "/pids.max"));
  const int of_one = std::stoi(read_file(all + "/greedy/pids.max"));
  CHECK(of_all <= most - most / 4);
  CHECK(of_one <= of_all / 2);
  // A smaller share is reached sooner: there are two processes of the first, and two of the next.
  REQUIRE(os::write_text(all + "/greedy/pids.max", "40"));
  CHECK(house.run_to_end(of_workspace("greedy", {"forks", "100000"})).out == "36 EAGAIN\n");
  CHECK(house.run_to_end(of_workspace("other", {"forks", "60"})).out == "60 ok\n");
}

TEST_CASE("a kill for memory anywhere inside counts for the whole sandbox") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"eat-in-child", "200"});
  spec.limits.memory_bytes = 32 << 20;
  const Output output = house.run_to_end(std::move(spec));
  CHECK(output.status.out_of_memory);
}

TEST_CASE("shared memory counts for the memory limit") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"fill", "/dev/shm/big", "200"});
  spec.limits.memory_bytes = 32 << 20;
  const Output output = house.run_to_end(std::move(spec));
  CHECK(output.out != "ok\n");
}

TEST_CASE("a device file system cannot be filled with files") {
  if (skipped()) return;
  House house;
  CHECK(house.out_of({"fill", "/dev/big", "200"}) == "ENOSPC\n");
}

TEST_CASE("a fifth of a core is not more than that") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"spin", "0.3"});  // seconds of CPU
  spec.limits.cpu_millis = 200;
  const Instant before = monotonic_now();
  const Output output = house.run_to_end(std::move(spec));
  // A lower bound: a loaded machine only makes it longer.
  CHECK(to_seconds(monotonic_now() - before) > 0.9);
  CHECK(output.status.cpu_us >= 300'000);
}

TEST_CASE("no core is dumped, not even into a program of the host") {
  if (skipped()) return;
  House house;
  const std::string limit = house.out_of({"limit", "core"});
  CHECK((limit == "1\n" || limit == "0\n"));
}

TEST_SUITE_END();
