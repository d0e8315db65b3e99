// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/subprocess.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

using namespace thaw;
using namespace thaw::image;

namespace {

Program shell(const char* script) {
  return Program{{"sh", "-c", script}, {"PATH=/usr/bin:/bin", "WORD=here"}};
}
const std::atomic<bool> never = false;

}  // namespace

TEST_CASE("a program's output and exit code come back, its environment is what was given") {
  std::string output;
  const auto code = run_program(
      shell("echo $WORD; echo $HOME >&2; exit 7"), [&](std::string_view piece) { output += piece; },
      never);
  REQUIRE(code);
  CHECK(*code == 7);
  CHECK(output == "here\n\n");
}

TEST_CASE("a program that does not exist, or is killed, has a code that says so") {
  const auto silent = [](std::string_view) {};
  CHECK(*run_program(Program{{"no-such-program"}, {}}, silent, never) == 127);
  CHECK(*run_program(shell("kill -KILL $$"), silent, never) == 128 + SIGKILL);
}

TEST_CASE("stopping ends the program and all that it started") {
  if (::geteuid() != 0) return;
  std::atomic<bool> stop = false;
  std::string output;
  Program program = shell("sleep 1000 & echo started; wait");
  program.isolation = Program::Isolation::own_tree;
  const auto code = run_program(
      program,
      [&](std::string_view piece) {
        output += piece;
        stop = output.find("started\n") != std::string::npos;
      },
      stop);
  REQUIRE(!code);
  CHECK(code.error().code() == Code::cancelled);
}

TEST_CASE("a program is ended at its time limit, though it says something all the time") {
  Program program = shell("while :; do echo still here; done");
  program.time_limit = std::chrono::milliseconds(50);
  const auto code = run_program(
      program, [](std::string_view) {}, never);
  REQUIRE(!code);
  CHECK(code.error().code() == Code::deadline_exceeded);
}
