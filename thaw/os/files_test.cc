// SPDX-License-Identifier: Apache-2.0
#include "thaw/os/files.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <vector>

using namespace thaw;
using namespace thaw::os;

TEST_CASE("a small file is read and written though no descriptor is left") {
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const std::string path = "/tmp/thaw-files-test-" + std::to_string(::getpid());
  REQUIRE(create_text(path, "one"));
  std::vector<Fd> held;
  rlimit few = before;
  few.rlim_cur = 100;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  while (true) {
    auto fd = open_file("/dev/null", O_RDONLY);
    if (!fd) {
      CHECK(fd.error().code() == Code::unavailable);
      break;
    }
    held.push_back(std::move(*fd));
  }
  CHECK(read_text(path) == std::string("one"));
  CHECK(write_text(path, "two"));
  CHECK(read_text(path) == std::string("two"));
  CHECK(read_text("/proc/no/such/file").error().code() == Code::not_found);
  CHECK_FALSE(open_file("/dev/null", O_RDONLY));  // the spare one is back
  held.clear();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  ::unlink(path.c_str());
}
