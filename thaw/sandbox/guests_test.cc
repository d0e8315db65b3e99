// SPDX-License-Identifier: Apache-2.0
#include <csignal>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

// A sandbox that has no program of its own.
std::unique_ptr<Sandbox> open_house(House& house) {
  auto spec = house.spec({});
  spec.argv = {};
  spec.guests = SandboxSpec::Guests::possible;
  return house.start(std::move(spec));
}

ProcessSpec guest(std::vector<std::string> argv) {
  ProcessSpec spec;
  spec.argv = std::move(argv);
  spec.argv.insert(spec.argv.begin(), "probe");
  spec.env = {"PATH=/usr/bin:/bin"};
  return spec;
}

async::Task<std::string> all_of(Process& process, bool of_errors) {
  std::string text;
  while (true) {
    THAW_CO_TRY(auto piece,
                of_errors ? co_await process.read_stderr() : co_await process.read_stdout());
    if (!piece) {
      co_return text;
    }
    text += *piece;
  }
}

std::string output_of(House& house, Sandbox& sandbox, ProcessSpec spec) {
  const auto process = house.run(sandbox.run(std::move(spec)));
  return house.run(all_of(*process, false));
}

}  // namespace

TEST_CASE("processes are started in a sandbox that runs, each with streams and an end of its own") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  const auto sleeper = house.run(sandbox->run(guest({"sleep", "600"})));
  const auto printer = house.run(sandbox->run(guest({"print", "to out", "to err"})));
  const auto failing = house.run(sandbox->run(guest({"exit", "41"})));
  CHECK(house.run(all_of(*printer, false)) == "to out\n");
  CHECK(house.run(all_of(*printer, true)) == "to err\n");
  CHECK(house.run(printer->wait()).code == 0);
  CHECK(house.run(failing->wait()).code == 41);
  CHECK(house.run(sleeper->read_stdout()) == "sleeping\n");
  house.run(sleeper->signal(SIGTERM));
  const ProcessEnd end = house.run(sleeper->wait());
  CHECK(end.signal == SIGTERM);
  CHECK(end.code == 128 + SIGTERM);
  CHECK_FALSE(end.with_sandbox);
  CHECK_FALSE(sandbox->has_ended());
  house.run(sandbox->remove());
}

TEST_CASE("what is written to a process is its input, until it is closed") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  const auto process = house.run(sandbox->run(guest({"cat", "/dev/stdin"})));
  std::size_t written = 0;
  house.run(process->write("some words", written));
  CHECK(written == 10);
  process->close_input();
  CHECK(house.run(all_of(*process, false)) == "some words");
  CHECK(house.run(process->wait()).code == 0);
  const auto late = house.loop.run_task(process->write("more", written = 0));
  REQUIRE(!late);
  CHECK(late.error().code() == Code::unavailable);
  house.run(sandbox->remove());
}

TEST_CASE("a process that cannot be started is an error, and the sandbox goes on") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  ProcessSpec missing = guest({});
  missing.argv = {"no-such-program"};
  const auto started = house.loop.run_task(sandbox->run(std::move(missing)));
  REQUIRE(!started);
  CHECK(started.error().code() == Code::not_found);
  CHECK(started.error().message().find("no-such-program") != std::string::npos);
  ProcessSpec stranger = guest({"ids"});
  stranger.user = "nobody-knows";
  CHECK(!house.loop.run_task(sandbox->run(std::move(stranger))));
  ProcessSpec nowhere = guest({"ids"});
  nowhere.cwd = "relative";
  CHECK(!house.loop.run_task(sandbox->run(std::move(nowhere))));
  CHECK(output_of(house, *sandbox, guest({"hostname"})) == "tester\n");
  house.run(sandbox->remove());
}

TEST_CASE("a process gets the folder, environment and user that it was started with") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  ProcessSpec spec = guest({"cwd"});
  spec.cwd = "/made/here";
  CHECK(output_of(house, *sandbox, spec) == "/made/here\n");
  spec = guest({"env", "GREETING"});
  spec.env.emplace_back("GREETING=hello");
  CHECK(output_of(house, *sandbox, spec) == "hello\n");
  spec = guest({"ids"});
  spec.user = "ann";
  CHECK(output_of(house, *sandbox, spec) == "uid=1001 euid=1001 gid=1002 group=50\n");
  house.run(sandbox->remove());
}

TEST_CASE("with a terminal both outputs are one, and programs may take it for theirs") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  ProcessSpec spec = guest({"print", "out", "err"});
  spec.terminal = TerminalSize{40, 120};
  const auto process = house.run(sandbox->run(std::move(spec)));
  CHECK(house.run(process->read_stderr()) == std::nullopt);
  const std::string text = house.run(all_of(*process, false));
  CHECK(text.find("out\r\n") != std::string::npos);
  CHECK(text.find("err\r\n") != std::string::npos);
  ProcessSpec reader = guest({"cat", "/dev/tty"});
  reader.terminal = TerminalSize{};
  const auto typed = house.run(sandbox->run(std::move(reader)));
  std::size_t written = 0;
  house.run(typed->write("a line\n", written));
  typed->close_input();
  CHECK(house.run(all_of(*typed, false)).find("a line\r\n") != std::string::npos);
  CHECK(house.run(typed->wait()).code == 0);
  house.run(sandbox->remove());
}

TEST_CASE("processes end with their sandbox, and who waits for them is told") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  const auto process = house.run(sandbox->run(guest({"sleep", "600"})));
  house.run(sandbox->remove());
  CHECK(house.run(process->wait()).with_sandbox);
  const auto late = house.loop.run_task(sandbox->run(guest({"ids"})));
  REQUIRE(!late);
  CHECK(late.error().code() == Code::unavailable);
}

TEST_CASE("guests have the powers of any program, and cannot look into who starts them") {
  if (skipped()) return;
  House house;
  const auto sandbox = open_house(house);
  const std::string status = output_of(house, *sandbox, guest({"cat", "/proc/self/status"}));
  const std::string usual = house.out_of({"cat", "/proc/self/status"});
  for (const std::string field :
       {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:", "NoNewPrivs:", "Seccomp:"}) {
    const auto line = [&](const std::string& text) {
      const std::size_t at = text.find(field);
      return at == std::string::npos ? "(none)" : text.substr(at, text.find('\n', at) - at);
    };
    CHECK(line(status) == line(usual));
  }
  for (const char* verb : {"ptrace", "readmem"}) {
    CHECK(output_of(house, *sandbox, guest({verb, "1"})) == "EPERM\n");
  }
  CHECK(output_of(house, *sandbox, guest({"cat", "/proc/1/environ"})) == "EACCES\n");
  CHECK(output_of(house, *sandbox, guest({"list", "/proc/self/fd"})) == ".\n..\n0\n1\n2\n3\n");
  house.run(sandbox->remove());
}

TEST_CASE("a sandbox without guests starts none, and one without a program needs them") {
  if (skipped()) return;
  House house;
  const auto sandbox = house.start(house.spec({"sleep", "600"}));
  const auto refused = house.loop.run_task(sandbox->run(guest({"ids"})));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::failed_precondition);
  house.run(sandbox->remove());
  auto empty = house.spec({});
  empty.argv = {};
  CHECK(!house.loop.run_task(house.spawner->start(std::move(empty))));
}

TEST_CASE("a sandbox with a program of its own has guests too, and ends with the program") {
  if (skipped()) return;
  House house;
  auto spec = house.spec({"signals"});
  spec.guests = SandboxSpec::Guests::possible;
  const auto sandbox = house.start(std::move(spec));
  CHECK(house.first_output(*sandbox) == "ready\n");
  CHECK(output_of(house, *sandbox, guest({"hostname"})) == "tester\n");
  CHECK(sandbox->signal(SIGTERM));
  CHECK(house.finish(*sandbox).status.code == 7);
  house.run(sandbox->remove());
}
