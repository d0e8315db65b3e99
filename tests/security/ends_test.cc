// SPDX-License-Identifier: Apache-2.0
//
// What is left after every kind of end, looked at from the kernel's side.
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <sstream>

#include "thaw/os/cgroup.h"
#include "thaw/os/netlink.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

int parent_of(int pid) {
  std::istringstream status(read_file("/proc/" + std::to_string(pid) + "/status"));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("PPid:")) {
      return std::stoi(line.substr(5));
    }
  }
  return 0;
}

os::Fd open_process(int pid) { return os::Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

bool ends(const os::Fd& process) {
  pollfd watched{process.get(), POLLIN, 0};
  return ::poll(&watched, 1, 20'000) == 1;
}

// A server in a process of its own with one sandbox that runs.
struct Server {
  explicit Server(const std::string& folder) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(folder, ends[1]);
    }
    ::close(ends[1]);
    char text[256];
    const ssize_t n = ::read(ends[0], text, sizeof text);
    ::close(ends[0]);
    REQUIRE(n > 0);
    std::istringstream said(std::string(text, static_cast<std::size_t>(n)));
    int sandbox_pid = 0;
    said >> instance >> sandbox_pid;
    sandbox = open_process(sandbox_pid);
    spawner = open_process(parent_of(sandbox_pid));
    REQUIRE(sandbox.valid());
    REQUIRE(spawner.valid());
  }

  [[noreturn]] static void serve(const std::string& folder, int tell) {
    House house(House::Networking::on, folder);
    auto program = house.start(house.spec({"orphan-and-sleep"}));
    house.first_output(*program);
    const std::string text = house.options.instance + " " + std::to_string(program->pid());
    if (::write(tell, text.data(), text.size()) < 0) {
      ::_exit(1);
    }
    while (true) {
      ::pause();
    }
  }

  pid_t pid = 0;
  std::string instance;
  os::Fd sandbox;  // pidfds
  os::Fd spawner;
};

void check_nothing_left(const std::string& instance, const std::string& folder) {
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  CHECK(os::top_cgroups(*layout, "thaw-" + instance).empty());
  CHECK(os::link_index("tw-" + instance) == 0);
  CHECK(read_file("/proc/self/mountinfo").find(folder) == std::string::npos);
  CHECK(!os::exists("/run/thaw/servers/" + instance));
  for (const std::string& name : os::list_folder(folder)) {
    CHECK((name == "lock" || name == "instances"));
  }
}

}  // namespace

TEST_SUITE_BEGIN("security.ends");

TEST_CASE("a server that is killed takes every process, mount, cgroup and link along") {
  if (skipped()) return;
  Temporary temporary;
  const std::string folder = temporary.folder + "/sandboxes";
  const Server server(folder);
  ::kill(server.pid, SIGKILL);
  ::waitpid(server.pid, nullptr, 0);
  CHECK(ends(server.sandbox));
  CHECK(ends(server.spawner));
  check_nothing_left(server.instance, folder);
}

TEST_CASE("when server and spawner are killed no process stays, and the next start tidies up") {
  if (skipped()) return;
  Temporary temporary;
  const std::string folder = temporary.folder + "/sandboxes";
  const Server server(folder);
  REQUIRE(os::send_signal(server.spawner, SIGKILL));
  ::kill(server.pid, SIGKILL);
  ::waitpid(server.pid, nullptr, 0);
  CHECK(ends(server.sandbox));
  CHECK(os::link_index("tw-" + server.instance) != 0);
  {
    House next(House::Networking::off, folder);
    check_nothing_left(server.instance, folder);
    CHECK(next.out_of({"print", "alive"}) == "alive\n");
  }
  check_nothing_left(server.instance, folder);
}

TEST_CASE("another server of the machine also tidies up after a killed one") {
  if (skipped()) return;
  Temporary temporary;
  const Server server(temporary.folder + "/sandboxes");
  REQUIRE(os::send_signal(server.spawner, SIGKILL));
  ::kill(server.pid, SIGKILL);
  ::waitpid(server.pid, nullptr, 0);
  CHECK(ends(server.sandbox));
  House other;
  CHECK(os::link_index("tw-" + server.instance) == 0);
}

TEST_CASE("two servers cannot use one folder") {
  if (skipped()) return;
  House house;
  SpawnerOptions options = house.options;
  options.instance = unique_name();
  const auto second = Spawner::fork(options);
  REQUIRE(!second);
  CHECK(second.error().code() == Code::failed_precondition);
}

TEST_CASE("a spawner that is killed ends its sandboxes and is told as unavailable") {
  if (skipped()) return;
  auto house = std::make_unique<House>();
  auto sandbox = house->start(house->spec({"sleep", "100"}));
  CHECK(house->first_output(*sandbox) == "sleeping\n");
  const os::Fd spawner = open_process(parent_of(sandbox->pid()));
  REQUIRE(os::send_signal(spawner, SIGKILL));
  const ExitStatus status = house->run(sandbox->wait());
  CHECK(status.signal == SIGKILL);
  const auto started = house->loop.run_task(house->spawner->start(house->spec({"exit", "0"})));
  REQUIRE(!started);
  CHECK(started.error().code() == Code::unavailable);
  sandbox.reset();
  house->spawner.reset();
}

TEST_CASE("a sandbox whose handle is dropped ends") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(house.spec({"sleep", "100"}));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  const os::Fd process = open_process(sandbox->pid());
  sandbox.reset();
  CHECK(ends(process));
}

TEST_SUITE_END();
