// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/start_report.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "thaw/store/temp_folder_test.h"

using namespace thaw;
using namespace thaw::worker;

namespace {

struct Home {
  Home() {
    auto made = StartReport::make(path);
    REQUIRE(made);
    report = std::move(*made);
  }
  // As a container writes: false if the pipe takes no more.
  bool says(const std::string& text) {
    const os::Fd pipe(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(pipe.valid());
    for (std::size_t done = 0; done < text.size();) {
      const ssize_t count = ::write(pipe.get(), text.data() + done, text.size() - done);
      if (count < 0) {
        CHECK(errno == EAGAIN);
        return false;
      }
      done += static_cast<std::size_t>(count);
    }
    return true;
  }

  store::TempFolder temporary;
  std::string path = temporary / "ta-1.start";
  StartReport report;
};

std::string moment(Instant when) { return std::to_string(when.time_since_epoch().count()); }

unsigned mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("a start report is for root, or for every user of its container, who cannot read it") {
  const store::TempFolder temporary;
  REQUIRE(StartReport::make(temporary / "root"));
  CHECK(mode_of(temporary / "root") == 0600);
  REQUIRE(StartReport::make(temporary / "all", InsideUsers::all));
  CHECK(mode_of(temporary / "all") == 0622);
}

TEST_CASE("a start report tells when the interpreter ran its first line, and what it can do") {
  Home home;
  CHECK(home.report.started() == Instant{});
  const Instant now = monotonic_now();
  home.says(moment(now) + "\n");
  CHECK(home.report.started() == now);
  CHECK(!home.report.is_restorable());
  home.says(moment(now) + " restor");
  CHECK(!home.report.is_restorable());
  home.says("able\n");
  CHECK(home.report.is_restorable());
  CHECK(home.report.modules().empty());
  home.says("modules json,numpy\n");
  CHECK(home.report.modules() == "json,numpy");
}

TEST_CASE("what other interpreters of a container say changes nothing") {
  Home home;
  const Instant now = monotonic_now();
  home.says(moment(now) + " restorable\n");
  home.says(moment(now + 1ns) + "\n");
  CHECK(home.report.started() == now);
  CHECK(home.report.is_restorable());
}

TEST_CASE("the report of a start that failed is forgotten") {
  Home home;
  home.says(moment(monotonic_now()) + " restorable\nmodules json\nhalf a li");
  home.report.forget();
  CHECK(home.report.started() == Instant{});
  CHECK(!home.report.is_restorable());
  CHECK(home.report.modules().empty());
  const Instant now = monotonic_now();
  home.says(moment(now) + "\n");
  CHECK(home.report.started() == now);
}

TEST_CASE("a start report that makes no sense tells nothing") {
  Home home;
  for (const std::string& text :
       {std::string(), std::string("soon"), std::string("-5"), std::string("0"),
        std::string("99999999999999999999"), moment(monotonic_now() + 1h),
        std::string(100 << 10, '\0'), std::string(100 << 10, '9'), std::string("1e9 restorable"),
        std::string("12 restorable?"), std::string("12restorable")}) {
    CHECK(home.says(text + "\n"));
    CHECK(home.report.started() == Instant{});
    CHECK(!home.report.is_restorable());
  }
  const Instant now = monotonic_now();
  home.says(moment(now) + "\n");
  CHECK(home.report.started() == now);
}

TEST_CASE("a container that writes without end fills its pipe and nothing else") {
  Home home;
  CHECK(!home.says(std::string(4 << 20, 'x')));
  struct stat file {};
  REQUIRE(::stat(home.path.c_str(), &file) == 0);
  CHECK(S_ISFIFO(file.st_mode));
  CHECK(file.st_blocks == 0);
  // Its line is too long, and is passed over to its end.
  CHECK(home.report.started() == Instant{});
  CHECK(!home.says(std::string(4 << 20, 'x')));
  CHECK(home.report.started() == Instant{});
  const Instant now = monotonic_now();
  CHECK(home.says("\n" + moment(now) + "\n"));
  CHECK(home.report.started() == now);
}

TEST_CASE("names of modules up to a pipe's size are taken whole while nobody reads") {
  Home home;
  const std::string names(120000, 'm');
  CHECK(home.says(moment(monotonic_now()) + "\n"));
  CHECK(home.says("modules " + names + "\n"));
  CHECK(home.report.modules() == names);
}

TEST_CASE("a pipe that is there already is an error, and its name goes when it is removed") {
  Home home;
  CHECK(!StartReport::make(home.path));
  home.report.remove();
  CHECK(::access(home.path.c_str(), F_OK) != 0);
}
