// SPDX-License-Identifier: Apache-2.0
#include <csignal>

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
