// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/processors.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::os;

TEST_CASE("the time of processors is what ran, not what idled or waited for a disk") {
  const auto times = parse_processor_times(
      "cpu  100 20 30 9000 500 1 2 7 50 0\n"
      "cpu0 100 20 30 9000 500 1 2 7 50 0\n"
      "intr 5 0 1\nctxt 7\nprocs_running 3\nprocs_blocked 1\n",
      100);
  REQUIRE(times);
  CHECK(times->busy == 1600ms);
  CHECK(times->runnable == 3);
  CHECK(!times->queued);
  CHECK(!times->pressed);
}

TEST_CASE("an old kernel's short line is enough, and nonsense is an error") {
  const auto times = parse_processor_times("cpu 1 2 3 4\n", 100);
  REQUIRE(times);
  CHECK(times->busy == 60ms);
  CHECK(!parse_processor_times("", 100));
  CHECK(!parse_processor_times("cpu x\n", 100));
}

TEST_CASE("pressure and the time in queues are read where the kernel has them") {
  CHECK(parse_pressed("some avg10=51.02 avg60=51.86 avg300=44.97 total=274253453\n"
                      "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n") == 274253453us);
  CHECK(!parse_pressed(""));
  CHECK(!parse_pressed("some avg10=1\n"));
  CHECK(parse_queued("version 15\ntimestamp 4298\n"
                     "cpu0 0 0 0 0 0 0 1000 2000 30\ndomain0 3 0 0\n"
                     "cpu1 0 0 0 0 0 0 1000 500 30\n") == 2500ns);
  CHECK(!parse_queued("version 15\n"));
}

TEST_CASE("this machine says what its processors do") {
  const auto times = processor_times();
  REQUIRE(times);
  CHECK(times->busy > 0s);
  CHECK(times->runnable >= 1);
}
