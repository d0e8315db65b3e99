// SPDX-License-Identifier: Apache-2.0
//
// What is left after every kind of end, looked at from the kernel's side.
#include <linux/fs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <sstream>

#include "thaw/os/cgroup.h"
#include "thaw/os/netlink.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/detail/user_namespace.h"
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

bool is_gone_soon(const std::string& path) {
  for (int i = 0; i < 12'000 && os::exists(path); ++i) {
    ::usleep(10'000);
  }
  return !os::exists(path);
}

void check_nothing_left(const std::string& instance, const std::string& folder) {
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  CHECK(os::top_cgroups(*layout, "thaw-" + instance).empty());
  CHECK(os::link_index("tw-" + instance) == 0);
  CHECK(read_file("/proc/self/mountinfo").find(folder) == std::string::npos);
  CHECK(!os::exists("/run/thaw/servers/" + instance));
  const auto stays = [](const std::string& name) { return name == "lock" || name == "instances"; };
  for (const std::string& name : os::list_folder(folder)) {
    // What a start has set aside it removes behind the scenes.
    CHECK_MESSAGE((stays(name) || (name == "set-aside" && is_gone_soon(folder + "/" + name))),
                  name);
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

TEST_CASE("a spawner that is killed is brought back, and nothing of its sandboxes stays") {
  if (skipped()) return;
  House house(House::Networking::on);
  const std::string bridge = house.spawner->bridge_host();
  auto sandbox = house.start(house.spec({"sleep", "100"}));
  auto frozen = house.start(house.spec({"spin", "1000"}));
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  house.freeze(*frozen);
  const std::string folder = house.options.folder + "/" + sandbox->id().str();
  CHECK(os::exists(folder));
  REQUIRE(os::send_signal(open_process(parent_of(sandbox->pid())), SIGKILL));
  for (const auto& one : {sandbox.get(), frozen.get()}) {
    const ExitStatus status = house.run(one->wait());
    CHECK(status.signal == SIGKILL);
    CHECK(status.ended_with_spawner);
    house.run(one->remove());
  }
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  CHECK(house.spawner->deaths() == 1);
  CHECK(house.spawner->bridge_host() == bridge);
  CHECK(!os::exists(folder));
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  const std::string group = layout->pids + "/thaw-" + house.options.instance + "/nobody";
  CHECK(!os::exists(group + "/" + sandbox->id().str()));
  CHECK(!os::exists(group + "/" + frozen->id().str()));
}

namespace {

std::vector<std::string> processes_of_session(pid_t session) {
  std::vector<std::string> found;
  for (const std::string& name : os::list_folder("/proc")) {
    if (name[0] < '1' || name[0] > '9') continue;
    const std::string stat = read_file("/proc/" + name + "/stat");
    const std::size_t after_name = stat.rfind(')');
    if (after_name == std::string::npos) continue;
    std::istringstream fields(stat.substr(after_name + 1));
    char state = 0;
    pid_t parent = 0, group = 0, of = 0;
    fields >> state >> parent >> group >> of;
    if (of == session && state != 'Z') {
      found.push_back(name);
    }
  }
  return found;
}

std::vector<std::string> soon_left_of_session(pid_t session) {
  std::vector<std::string> left = processes_of_session(session);
  for (int i = 0; i < 1'000 && !left.empty(); ++i) {
    ::usleep(10'000);
    left = processes_of_session(session);
  }
  return left;
}

// This process's own.
int find_spawner() {
  for (const std::string& name : os::list_folder("/proc")) {
    if (name[0] >= '1' && name[0] <= '9' && parent_of(std::stoi(name)) == ::getpid() &&
        read_file("/proc/" + name + "/comm") == "thaw-spawner\n") {
      return std::stoi(name);
    }
  }
  return 0;
}

struct Tally {
  int whole = 0;
  int cut_off = 0;
};

async::Task<void> live_once(Spawner& spawner, SandboxSpec spec, Tally& tally) {
  Result<std::unique_ptr<Sandbox>> sandbox = co_await spawner.start(std::move(spec));
  if (!sandbox) {
    CHECK_MESSAGE(sandbox.error().code() == Code::unavailable, sandbox.error().to_string());
    ++tally.cut_off;
    co_return ok();
  }
  THAW_CO_TRY(const ExitStatus status, co_await (*sandbox)->wait());
  ++(status.ended_with_spawner ? tally.cut_off : tally.whole);
  co_return co_await (*sandbox)->remove();
}

}  // namespace

TEST_CASE("whatever goes on when spawners are killed ends, and the next one works") {
  if (skipped()) return;
  House house(House::Networking::on);
  Tally tally;
  std::vector<pid_t> killed;
  constexpr int rounds = 12, at_once = 6;
  for (int round = 0; round < rounds; ++round) {
    async::TaskGroup tasks(house.loop);
    for (int i = 0; i < at_once; ++i) {
      tasks.start("one", live_once(*house.spawner, house.spec({"print", "x"}), tally));
    }
    // Any moment will do.
    house.run(async::sleep_for(std::chrono::milliseconds(round * 4)));
    if (const int spawner = find_spawner(); spawner != 0) {
      ::kill(spawner, SIGKILL);
      killed.push_back(spawner);
    }
    CHECK(house.run(tasks.join(monotonic_now() + 60s)));
  }
  CHECK(tally.whole + tally.cut_off == rounds * at_once);
  for (const pid_t spawner : killed) {  // each leads a session
    CHECK(soon_left_of_session(spawner).empty());
  }
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  const std::string instance = house.options.instance, folder = house.options.folder;
  house.run(house.spawner->shut_down());
  house.spawner.reset();
  check_nothing_left(instance, folder);
}

TEST_CASE("whoever is killed while it makes user namespaces leaves no process") {
  if (skipped()) return;
  for (int round = 0; round < 40; ++round) {
    const pid_t pid = ::fork();
    REQUIRE(pid >= 0);
    if (pid == 0) {
      ::setsid();
      while (true) {
        (void)detail::make_user_namespace({});
      }
    }
    ::usleep(static_cast<useconds_t>(2'000 + round * 113));
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    const std::vector<std::string> left = soon_left_of_session(pid);
    CHECK(left.empty());
    for (const std::string& one : left) {
      ::kill(std::stoi(one), SIGKILL);
    }
  }
}

namespace {

// As user code can, in the private folder of its sandbox.
void leave_deep_tree(const std::string& folder) {
  REQUIRE(os::make_folders(folder));
  os::Fd at(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 3'000; ++i) {
    REQUIRE(::mkdirat(at.get(), "d", 0000) == 0);
    at = os::Fd(::openat(at.get(), "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
}

bool set_immutable(const std::string& path, int flag) {
  const os::Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return ::ioctl(fd.get(), FS_IOC_SETFLAGS, &flag) == 0;
}

// What is set aside in the folder of sandboxes, once all is removed that can be.
bool become_soon(const std::vector<std::string>& names, const std::string& folder) {
  for (int i = 0; i < 12'000; ++i) {
    std::vector<std::string> found = Spawner::set_aside(folder);
    std::sort(found.begin(), found.end());
    if (found == names) {
      return true;
    }
    ::usleep(10'000);
  }
  return false;
}

}  // namespace

TEST_CASE("no left-over keeps the next start from running, and what can go goes") {
  if (skipped()) return;
  Temporary temporary;
  const std::string folder = temporary.folder + "/sandboxes", aside = folder + "/set-aside";
  const Server server(folder);
  leave_deep_tree(folder + "/ta-deep/upper");
  REQUIRE(os::make_folders(folder + "/ta-mount/upper/here"));
  REQUIRE(::mount(temporary.root.c_str(), (folder + "/ta-mount/upper/here").c_str(), nullptr,
                  MS_BIND, nullptr) == 0);
  write_file(folder + "/ta-immutable/file", "x");
  const bool has_flags = set_immutable(folder + "/ta-immutable/file", FS_IMMUTABLE_FL);
  write_file(folder + "/a file where none belongs", "x");
  std::filesystem::create_symlink("/", folder + "/link");
  write_file("/run/thaw/servers/" + server.instance + "x", "of nobody");
  write_file(folder + "/instances", "../../etc\n\n" + server.instance + "\n; delete all\n");
  REQUIRE(os::send_signal(server.spawner, SIGKILL));
  ::kill(server.pid, SIGKILL);
  ::waitpid(server.pid, nullptr, 0);
  CHECK(ends(server.sandbox));
  {
    House next(House::Networking::on, folder);
    CHECK(next.out_of({"print", "alive"}) == "alive\n");
    std::vector<std::string> stay = {"ta-mount"};
    if (has_flags) {
      stay.insert(stay.begin(), "ta-immutable");
    }
    CHECK(become_soon(stay, folder));
    CHECK(os::link_index("tw-" + server.instance) == 0);
    CHECK(!os::exists("/run/thaw/servers/" + server.instance + "x"));
  }
  // Told, and left alone.
  CHECK(os::exists(aside + "/ta-mount/upper/here/bin/probe"));
  REQUIRE(::umount2((aside + "/ta-mount/upper/here").c_str(), MNT_DETACH) == 0);
  set_immutable(aside + "/ta-immutable/file", 0);
  House last(House::Networking::off, folder);
  CHECK(is_gone_soon(aside));
  CHECK(os::exists(temporary.root + "/bin/probe"));
}

TEST_CASE("a sandbox whose folder cannot be removed is set aside, and its name is free again") {
  if (skipped()) return;
  House house;
  SandboxSpec spec = house.spec({"sleep", "100"});
  auto sandbox = house.start(spec);
  CHECK(house.first_output(*sandbox) == "sleeping\n");
  const std::string folder = house.options.folder + "/" + spec.id.str();
  REQUIRE(os::make_folders(folder + "/here"));
  REQUIRE(::mount(house.temporary.root.c_str(), (folder + "/here").c_str(), nullptr, MS_BIND,
                  nullptr) == 0);
  CHECK(!house.loop.run_task(sandbox->remove()));
  CHECK(Spawner::set_aside(house.options.folder) == std::vector{spec.id.str()});
  CHECK(house.out_of({"print", "alive"}) == "alive\n");
  spec.argv = {"probe", "exit", "0"};
  CHECK(house.run_to_end(spec).status.code == 0);
  REQUIRE(::umount2((house.options.folder + "/set-aside/" + spec.id.str() + "/here").c_str(),
                    MNT_DETACH) == 0);
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
