// SPDX-License-Identifier: Apache-2.0
//
// The processes that help the spawner may be killed at any moment, and servers that live beside
// each other, or one after the other, leave each other's sandboxes alone.
#include <poll.h>
#include <sys/resource.h>

#include <csignal>
#include <set>
#include <sstream>

#include "thaw/os/cgroup.h"
#include "thaw/os/netlink.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

struct Helper {
  int pid = 0;
  int parent = 0;
  int session = 0;
  std::string name;
};

std::vector<Helper> living_processes() {
  std::vector<Helper> found;
  for (const std::string& entry : os::list_folder("/proc")) {
    if (entry[0] < '1' || entry[0] > '9') continue;
    const std::string stat = read_file("/proc/" + entry + "/stat");
    const std::size_t open = stat.find('('), close = stat.rfind(')');
    if (close == std::string::npos) continue;
    std::istringstream fields(stat.substr(close + 1));
    char state = 0;
    int group = 0;
    Helper process;
    process.pid = std::stoi(entry);
    process.name = stat.substr(open + 1, close - open - 1);
    fields >> state >> process.parent >> group >> process.session;
    if (state != 'Z') {
      found.push_back(std::move(process));
    }
  }
  return found;
}

int find_spawner() {
  for (const Helper& process : living_processes()) {
    if (process.parent == ::getpid() && process.name == "thaw-spawner") {
      return process.pid;
    }
  }
  return 0;
}

// Those that the spawner has forked, and they in turn, before they run anything of a sandbox's.
std::vector<Helper> helpers_of(int spawner) {
  std::vector<Helper> found = living_processes();
  std::erase_if(found, [spawner](const Helper& process) {
    return process.session != spawner || process.pid == spawner || process.name == "thaw-init";
  });
  return found;
}

async::Task<void> live_once(Spawner& spawner, SandboxSpec spec) {
  auto sandbox = co_await spawner.start(std::move(spec));
  if (sandbox) {
    THAW_CO_TRY([[maybe_unused]] const ExitStatus status, co_await (*sandbox)->wait());
    (void)co_await (*sandbox)->remove();
  }
  co_return ok();
}

async::Task<void> remove(Sandbox& sandbox, Result<void>& outcome) {
  outcome = co_await sandbox.remove();
  co_return ok();
}

// What takes a while to be removed.
void fill(const std::string& folder, int files) {
  for (int i = 0; i < files; ++i) {
    const std::string path = folder + "/file" + std::to_string(i);
    REQUIRE(::mknod(path.c_str(), S_IFREG | 0600, 0) == 0);
  }
}

}  // namespace

TEST_SUITE_BEGIN("security.ends");

TEST_CASE("whichever helper of the spawner is killed, starts end and the next one works") {
  if (skipped()) return;
  House house(House::Networking::on);
  const int spawner = find_spawner();
  REQUIRE(spawner != 0);
  std::set<std::string> killed;
  constexpr int rounds = 30, at_once = 4;
  for (int round = 0; round < rounds; ++round) {
    async::TaskGroup tasks(house.loop);
    for (int i = 0; i < at_once; ++i) {
      tasks.start("one", live_once(*house.spawner, house.spec({"print", "x"})));
    }
    for (int i = 0; i < 4; ++i) {
      house.run(async::sleep_for(std::chrono::milliseconds(1 + round % 5)));
      for (const Helper& process : helpers_of(spawner)) {
        killed.insert(process.name);
        ::kill(process.pid, SIGKILL);
      }
    }
    CHECK(house.run(tasks.join(monotonic_now() + 60s)));
  }
  CHECK(killed.contains("thaw-network"));
  CHECK(killed.size() > 1);
  CHECK(house.spawner->deaths() == 0);
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  const std::string group = layout->pids + "/thaw-" + house.options.instance + "/nobody";
  for (int i = 0; i < 1'000 && os::exists(group); ++i) {
    house.run(async::sleep_for(10ms));
  }
  CHECK(!os::exists(group));  // it goes with the last of its sandboxes
}

TEST_CASE("nobody removes anything any more when there is a next spawner") {
  if (skipped()) return;
  House house(House::Networking::on);
  auto sandbox = house.start(house.spec({"sleep", "100"}));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  fill(sandbox->root_writes(), 100'000);
  const int spawner = find_spawner();
  async::TaskGroup tasks(house.loop);
  Result<void> removed = ok();
  tasks.start("remove", remove(*sandbox, removed));
  const Instant latest = monotonic_now() + 20s;
  const auto is_janitor = [&](const Helper& process) {
    return process.parent == spawner && process.name == "thaw-spawner";
  };
  const auto has_janitor = [&] {
    const auto all = living_processes();
    return std::any_of(all.begin(), all.end(), is_janitor);
  };
  while (!has_janitor() && monotonic_now() < latest) {
    house.run(async::sleep_for(1ms));
  }
  REQUIRE(has_janitor());
  ::kill(spawner, SIGKILL);
  CHECK(house.run(tasks.join(monotonic_now() + 60s)));
  for (int i = 0; i < 2'000 && house.spawner->deaths() == 0; ++i) {
    house.run(async::sleep_for(10ms));
  }
  CHECK(house.spawner->deaths() == 1);
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  for (const Helper& process : living_processes()) {
    CHECK_MESSAGE(process.session != spawner, process.name);
  }
}

TEST_CASE("a copy of a sandbox folder costs the living server that it names nothing") {
  if (skipped()) return;
  House house(House::Networking::on);
  auto sandbox = house.start(house.spec({"sleep", "100"}));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  const Temporary elsewhere;
  const std::string folder = elsewhere.folder + "/sandboxes";
  REQUIRE(os::make_folders(folder));
  write_file(folder + "/instances", house.options.instance + "\n");
  {
    House other(House::Networking::off, folder);
    CHECK(other.out_of({"print", "alive"}) == "alive\n");
  }
  CHECK_FALSE(sandbox->has_ended());
  CHECK(os::link_index("tw-" + house.options.instance) != 0);
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  house.run(sandbox->remove());
}

TEST_CASE("a server whose next spawner cannot begin keeps its name, and gets one once it can") {
  if (skipped()) return;
  House house(House::Networking::on);
  const std::string record = "/run/thaw/servers/" + house.options.instance;
  CHECK(os::exists(record));
  const std::string address = house.spawner->bridge_host();
  // Its network is taken as soon as it is free.
  const std::string rival = "rival" + std::to_string(::getpid());
  auto links = os::Netlink::open();
  REQUIRE(links);
  REQUIRE(links->make_bridge(rival, {2, 2, 2, 2, 2, 2}));
  const int link = os::link_index(rival);
  const auto own = os::Subnet::parse(address + "/24");
  REQUIRE(own);
  REQUIRE(links->add_address(link, *own));
  REQUIRE(links->set_up(link));
  ::kill(find_spawner(), SIGKILL);
  const Instant latest = monotonic_now() + 20s;
  while (house.spawner->deaths() < 3 && monotonic_now() < latest) {
    house.run(async::sleep_for(5ms));
    CHECK(os::exists(record));
  }
  CHECK(house.spawner->deaths() >= 3);
  REQUIRE(links->remove_link(rival));
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  CHECK(house.spawner->bridge_host() == address);
}

TEST_CASE("a spawner without descriptors loses requests and nothing else") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(house.spec({"sleep", "100"}));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  const int spawner = find_spawner();
  rlimit before{};
  REQUIRE(::prlimit(spawner, RLIMIT_NOFILE, nullptr, &before) == 0);
  // What it waits for is more than some, and all lower numbers are in use.
  const rlimit few{10, before.rlim_max};
  REQUIRE(::prlimit(spawner, RLIMIT_NOFILE, &few, nullptr) == 0);
  auto refused = house.loop.run_task(house.spawner->start(house.spec({"print", "x"})));
  CHECK_FALSE(refused);
  REQUIRE(::prlimit(spawner, RLIMIT_NOFILE, &before, nullptr) == 0);
  CHECK_FALSE(sandbox->has_ended());
  CHECK(house.spawner->deaths() == 0);
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  house.run(sandbox->remove());
}

TEST_CASE("a workspace's group that is there in part is made whole") {
  if (skipped()) return;
  House house;
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  if (layout->hierarchies.size() < 2) {
    std::puts("skipped: all controllers of cgroups are in one hierarchy here");
    return;
  }
  for (const std::string& hierarchy : layout->hierarchies) {
    const std::string group = hierarchy + "/thaw-" + house.options.instance + "/nobody";
    REQUIRE(::mkdir(group.c_str(), 0755) == 0);
    CHECK(house.out_of({"print", "alive"}) == "alive\n");
  }
}
