// SPDX-License-Identifier: Apache-2.0
//
// The fork program in the machine's own Python and in real sandboxes: what is forked from a
// template is a container like any other, and one that lies, dawdles or dies costs nothing but the
// fork.
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <set>
#include <sstream>

#include "thaw/os/cgroup.h"
#include "thaw/os/process.h"
#include "thaw/sandbox/testing/fixture.h"
#include "thaw/worker/kits/python/python.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

constexpr const char* job = R"(import os, random, sys, threading, time
import base
what = sys.argv[1]
if what == "show":
    print(" ".join(sys.argv[1:]), os.getcwd(), os.environ["GREETING"], "SECRET" in os.environ,
          os.getppid(), base.loaded_in == os.readlink("/proc/self/ns/pid"), os.uname().nodename)
    print("to err", file=sys.stderr)
    sys.exit(int(sys.argv[2]))
if what == "status":
    wanted = ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb", "NoNewPrivs", "Uid", "Threads")
    for line in open("/proc/self/status"):
        if line.startswith(wanted):
            print(line.split(":")[0], *line.split()[1:])
    print("fds", sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1])
    print("adj", open("/proc/self/oom_score_adj").read().strip())
if what == "door":
    import socket
    line = socket.create_connection(("127.0.0.1", 9001))
    line.sendall(b"forked")
    print(line.recv(99).decode())
if what == "environ":
    print(open("/proc/self/cmdline").read().replace("\0", " "),
          "SECRET" in open("/proc/self/environ").read(),
          "GREETING=hello" in open("/proc/self/environ").read())
if what == "setns":
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    for name in ("user", "mnt", "pid"):
        fd = os.open("/proc/self/ns/" + name, os.O_RDONLY)
        print(name, libc.setns(fd, 0), ctypes.get_errno())
    print("unshare", libc.unshare(0x20000), ctypes.get_errno())
    try:
        open("/proc/sys/kernel/hostname", "w")
    except OSError as error:
        print("sysctl", error.errno)
if what == "seeds":
    import uuid
    print(random.getrandbits(64), uuid.uuid1(), uuid.uuid4(), os.urandom(8).hex())
if what == "eat":
    kept = [bytearray(os.urandom(1 << 20)) for _ in range(4096)]
if what == "sleep":
    print("asleep", flush=True)
    time.sleep(600)
if what == "processes":
    print(*sorted(int(n) for n in os.listdir("/proc") if n.isdigit()))
    print(sorted(os.listdir("/")))
)";

// Says it is ready, and then does with every request what `misdeed` says.
std::string hostile_program(const std::string& misdeed) {
  return R"(import ctypes, os, socket, sys, time
libc = ctypes.CDLL(None)
control = socket.socket(fileno=0)
control.send(b"ready ")
while True:
    data, fds, _, _ = socket.recv_fds(control, 64, 8)
    if not data:
        os._exit(0)
    pids, hello = fds
    hello = socket.socket(fileno=hello)
)" + misdeed;
}

struct TemplateHouse {
  explicit TemplateHouse(House::Networking networking = House::Networking::off)
      : house(networking) {
    const std::string& root = house.temporary.root;
    std::filesystem::create_directory_symlink("usr/lib", root + "/lib");
    std::filesystem::create_directory_symlink("usr/lib64", root + "/lib64");
    write_file(root + "/app/base.py", "import os\nloaded_in = os.readlink('/proc/self/ns/pid')\n");
    write_file(root + "/app/noisy.py",
               "import threading, time\n"
               "threading.Thread(target=lambda: time.sleep(600), daemon=True).start()\n");
    write_file(root + "/app/job.py", job);
    write_file(root + "/fork_program.py", worker::kits::python().fork->file.bytes);
  }

  SandboxSpec spec(std::vector<std::string> argv) {
    SandboxSpec spec = house.spec(std::move(argv));
    spec.argv.erase(spec.argv.begin());
    spec.binds = {{"/usr", "/usr"}};
    spec.env = {"PATH=/usr/bin:/bin", "PYTHONPATH=/app", "GREETING=hello",
                "PYTHONDONTWRITEBYTECODE=1"};
    spec.workspace = "ac-1";
    return spec;
  }
  std::unique_ptr<Template> start_template(std::vector<std::string> modules = {"job", "base"}) {
    auto wanted = spec({"/usr/bin/python3", "-u", "/fork_program.py"});
    wanted.argv.insert(wanted.argv.end(), modules.begin(), modules.end());
    wanted.env.push_back("SECRET=of the template");
    return house.run(house.spawner->start_template(std::move(wanted)));
  }
  // Its word that it is ready, after what it says of its imports.
  std::string ready_word(Template& from) {
    std::optional<std::string> word;
    do {
      word = house.run(from.read_message());
    } while (word && word->starts_with("at "));
    return word.value_or("");
  }
  std::unique_ptr<Template> start_hostile(const std::string& misdeed) {
    write_file(house.temporary.root + "/hostile.py", hostile_program(misdeed));
    auto made =
        house.run(house.spawner->start_template(spec({"/usr/bin/python3", "-u", "/hostile.py"})));
    CHECK(house.run(made->read_message()) == "ready ");
    return made;
  }
  SandboxSpec fork_spec(Template& from, std::vector<std::string> words) {
    auto wanted = spec({"python", "-u", "-m", "job"});
    wanted.argv.insert(wanted.argv.end(), words.begin(), words.end());
    wanted.fork_from = from.sandbox().id();
    return wanted;
  }
  Output fork_to_end(Template& from, std::vector<std::string> words) {
    return house.run_to_end(fork_spec(from, std::move(words)));
  }
  // Why a fork did not come about; nothing is left of it then.
  Error failure_of(Template& from) {
    auto wanted = fork_spec(from, {"show", "0"});
    const std::string id = wanted.id.str();
    const auto started = house.loop.run_task(house.spawner->start(std::move(wanted)));
    REQUIRE(!started);
    CHECK(!os::exists(house.options.folder + "/" + id));
    return started.error();
  }

  House house;
};

}  // namespace

TEST_CASE("a fork runs its module with its own arguments, environment, folder and output") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  CHECK(it.ready_word(*made) == "ready ");
  auto wanted = it.fork_spec(*made, {"show", "7"});
  wanted.cwd = "/new/folder";
  wanted.hostname = "forked";
  const Output output = it.house.run_to_end(wanted);
  CHECK(output.out == "show 7 /new/folder hello False 1 False forked\n");
  CHECK(output.err == "to err\n");
  CHECK(output.status.code == 7);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a fork has a function's powers, user and descriptors, and cannot enter namespaces") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  const std::string status = it.fork_to_end(*made, {"status"}).out;
  // What is booted has a function's powers.
  auto booted = it.spec({"/usr/bin/python3", "-u", "/app/job.py", "status"});
  const std::string usual = it.house.run_to_end(std::move(booted)).out;
  const std::string kept = usual.substr(usual.find("CapPrm ") + 7, 16);
  const std::string none = "0000000000000000";
  CHECK(status.find("CapPrm " + kept + "\n") != std::string::npos);
  CHECK(status.find("CapEff " + kept + "\n") != std::string::npos);
  CHECK(status.find("CapBnd " + kept + "\n") != std::string::npos);
  CHECK(status.find("CapInh " + none + "\n") != std::string::npos);
  CHECK(status.find("CapAmb " + none + "\n") != std::string::npos);
  CHECK(status.find("NoNewPrivs 1\n") != std::string::npos);
  CHECK(status.find("Threads 1\n") != std::string::npos);
  CHECK(status.find("fds [0, 1, 2]\n") != std::string::npos);
  CHECK(status.find("adj 500\n") != std::string::npos);
  auto as_ann = it.fork_spec(*made, {"status"});
  as_ann.user = "ann";
  const std::string other = it.house.run_to_end(as_ann).out;
  CHECK(other.find("Uid 1001 1001 1001 1001\n") != std::string::npos);
  CHECK(other.find("CapPrm " + none + "\n") != std::string::npos);
  CHECK(it.fork_to_end(*made, {"setns"}).out ==
        "user -1 1\nmnt -1 1\npid -1 1\nunshare -1 1\nsysctl 30\n");
  const std::string seen = it.fork_to_end(*made, {"processes"}).out;
  std::istringstream words(seen.substr(0, seen.find('\n')));
  std::vector<int> pids;
  for (int pid = 0; words >> pid;) {
    pids.push_back(pid);
  }
  CHECK(pids.size() == 2);  // PID 1 and itself: not the template, not who built it
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a fork's command line and environment are its own, also for the kernel") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  CHECK(it.fork_to_end(*made, {"environ"}).out == "python -u -m job environ  False True\n");
  it.house.run(made->sandbox().remove());
}

TEST_CASE("two forks share no random numbers") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template({"job", "base", "uuid", "random"});
  std::set<std::string> values;
  std::size_t count = 0;
  for (int i = 0; i < 2; ++i) {
    std::istringstream words(it.fork_to_end(*made, {"seeds"}).out);
    for (std::string word; words >> word; ++count) {
      values.insert(word);
    }
  }
  CHECK(count == 8);
  CHECK(values.size() == 8);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("each workspace has templates of its own, and nobody forks another's") {
  if (skipped()) return;
  TemplateHouse it(House::Networking::on);
  std::vector<std::unique_ptr<Template>> made;
  for (const char* workspace : {"ac-1", "ac-2"}) {
    auto wanted = it.spec({"/usr/bin/python3", "-u", "/fork_program.py", "job", "base"});
    wanted.workspace = workspace;
    made.push_back(it.house.run(it.house.spawner->start_template(std::move(wanted))));
  }
  for (const int from : {0, 1, 0}) {
    for (const char* workspace : {"ac-1", "ac-2"}) {
      CAPTURE(from);
      CAPTURE(workspace);
      auto wanted = it.fork_spec(*made[static_cast<std::size_t>(from)], {"show", "4"});
      wanted.workspace = workspace;
      auto started = it.house.loop.run_task(it.house.spawner->start(std::move(wanted)));
      if ((from == 0) == (std::string_view(workspace) == "ac-1")) {
        REQUIRE_MESSAGE(started, (started ? "" : started.error().to_string()));
        CHECK(it.house.finish(**started).status.code == 4);
        it.house.run((*started)->remove());
      } else {
        REQUIRE(!started);
        CHECK(started.error().code() == Code::permission_denied);
      }
    }
  }
  for (auto& one : made) {
    it.house.run(one->sandbox().remove());
  }
}

TEST_CASE("a fork has a door of its own, taken from the spares or not") {
  if (skipped()) return;
  for (const auto networking : {House::Networking::on, House::Networking::off}) {
    TemplateHouse it(networking);
    auto made = it.start_template();
    CHECK(it.ready_word(*made) == "ready ");
    if (networking == House::Networking::on) {
      made->keep_spares(1);
      while (it.house.run(made->count_spares()) == 0) {
        it.house.run(async::sleep_for(5ms));
      }
    }
    auto wanted = it.fork_spec(*made, {"door"});
    wanted.door_port = 9001;
    auto sandbox = it.house.start(wanted);
    const os::Fd door = sandbox->take_door();
    REQUIRE(door.valid());
    os::Fd visitor;
    while (!visitor.valid()) {
      visitor = os::Fd(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
      it.house.run(async::sleep_for(1ms));
    }
    char said[16];
    REQUIRE(::recv(visitor.get(), said, sizeof said, 0) == 6);
    CHECK(std::string(said, 6) == "forked");
    REQUIRE(::send(visitor.get(), "heard", 5, 0) == 5);
    CHECK(it.house.finish(*sandbox).out == "heard\n");
    it.house.run(sandbox->remove());
    it.house.run(made->sandbox().remove());
  }
}

TEST_CASE("twenty forks at once") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  std::vector<Result<std::unique_ptr<Sandbox>>> started;
  const auto start_one =
      [](TemplateHouse& from, Template& parent,
         std::vector<Result<std::unique_ptr<Sandbox>>>& into) -> async::Task<void> {
    auto spec = from.fork_spec(parent, {"show", "3"});
    into.push_back(co_await from.house.spawner->start(std::move(spec)));
    co_return ok();
  };
  async::TaskGroup group(it.house.loop);
  for (int i = 0; i < 20; ++i) {
    group.start("fork", start_one(it, *made, started));
  }
  const bool all = it.house.run(group.join(monotonic_now() + 60s));
  CHECK(all);
  CHECK(started.size() == 20);
  for (auto& one : started) {
    REQUIRE_MESSAGE(one, (one ? "" : one.error().to_string()));
    CHECK(it.house.finish(**one).status.code == 3);
    it.house.run((*one)->remove());
  }
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a module that leaves a thread behind is left out of the template") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template({"job", "noisy", "base", "no_such_module"});
  CHECK(it.ready_word(*made) == "ready noisy");
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a fork past its memory limit is killed, and says why") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  auto wanted = it.fork_spec(*made, {"eat"});
  wanted.limits.memory_bytes = 48 << 20;
  const Output output = it.house.run_to_end(wanted);
  CHECK(output.status.signal == SIGKILL);
  CHECK(output.status.out_of_memory);
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("forks outlive their template's program, and die with the template") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  CHECK(it.ready_word(*made) == "ready ");
  auto sleeper = it.house.start(it.fork_spec(*made, {"sleep"}));
  CHECK(it.house.first_output(*sleeper).starts_with("asleep"));
  CHECK(made->sandbox().signal(SIGTERM));
  CHECK(!it.house.run(made->read_message()));  // its program has ended
  CHECK(it.failure_of(*made).code() == Code::unavailable);
  CHECK(sleeper->signal(SIGTERM));
  CHECK(it.house.finish(*sleeper).status.signal == SIGTERM);
  it.house.run(sleeper->remove());
  it.house.run(made->sandbox().remove());

  made = it.start_template();
  sleeper = it.house.start(it.fork_spec(*made, {"sleep"}));
  it.house.run(made->sandbox().remove());
  CHECK(it.house.finish(*sleeper).status.signal == SIGKILL);
  it.house.run(sleeper->remove());
}

TEST_CASE("a file of the function that a module of the template would hide ends the fork") {
  if (skipped()) return;
  TemplateHouse it;
  auto made = it.start_template();
  auto wanted = it.fork_spec(*made, {"show", "0"});
  write_file(it.house.temporary.folder + "/mounted/work/base.py", "loaded_in = 0\n");
  wanted.layers.push_back(it.house.temporary.folder + "/mounted");
  wanted.cwd = "/work";
  const auto started = it.house.loop.run_task(it.house.spawner->start(std::move(wanted)));
  REQUIRE(!started);
  CHECK(started.error().message().find("base of /work") != std::string::npos);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a hostile template costs no more than the fork") {
  if (skipped()) return;
  TemplateHouse it;
  const std::string be_forked =
      "    libc.setns(pids, 0x20000000)\n"
      "    if os.fork() == 0:\n        if os.fork():\n            os._exit(0)\n"
      "        while os.getppid() != 1: pass\n";
  struct Misdeed {
    const char* name;
    std::string body;
    const char* noticed;
  };
  const Misdeed misdeeds[] = {
      {"garbage instead of a fork", "    hello.send(os.urandom(300))\n", "refuses to fork"},
      {"no answer", "    pass\n", "did not fork in time"},
      {"its own word for it", "    hello.send(b'here')\n", "elsewhere"},
      {"a child of another place",
       "    if os.fork() == 0:\n        hello.send(b'here')\n        time.sleep(600)\n",
       "elsewhere"},
      {"a child with all its powers",
       be_forked + "        hello.send(b'here')\n        hello.recv(9)\n"
                   "        hello.send(b'fit')\n        time.sleep(600)\n",
       "not fit to run"},
      {"one that comes and another that stays",
       be_forked + "        hello.send(b'here')\n        hello.recv(9)\n"
                   "        if os.fork() == 0:\n            hello.send(b'fit')\n"
                   "        time.sleep(600)\n",
       "elsewhere"},
      {"one that is fit before it has its order",
       be_forked + "        hello.send(b'fit')\n        time.sleep(600)\n", "refuses to fork"},
      {"its end in the middle",
       be_forked + "        os._exit(0)\n    hello.close()\n    os._exit(3)\n", "let go of a fork"},
      {"descriptors nobody asked for", "    socket.send_fds(hello, [b'here'], [pids, 1, 2])\n",
       "elsewhere"},
  };
  for (const Misdeed& misdeed : misdeeds) {
    CAPTURE(misdeed.name);
    auto made = it.start_hostile(misdeed.body);
    const std::string error = it.failure_of(*made).to_string();
    CHECK_MESSAGE(error.find(misdeed.noticed) != std::string::npos, error);
    it.house.run(made->sandbox().remove());
  }
  auto made = it.start_template();
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a template that keeps a dead fork's pid namespace alive is ended") {
  if (skipped()) return;
  TemplateHouse it;
  // Its first child in there is never waited for.
  auto made = it.start_hostile(
      "    libc.setns(pids, 0x20000000)\n"
      "    if os.fork() == 0:\n        os._exit(0)\n"
      "    hello.send(b'no')\n");
  (void)it.failure_of(*made);
  CHECK(!it.house.run(made->read_message()));
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a template reaches neither the host's files nor its PID 1") {
  if (skipped()) return;
  TemplateHouse it;
  write_file(it.house.temporary.root + "/look.py", R"(import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
control = socket.socket(fileno=0)
found = []
for pid in os.listdir("/proc"):
    if pid.isdigit() and int(pid) != os.getpid():
        for what in ("root", "cwd", "exe", "ns/mnt", "environ"):
            try:
                os.open(f"/proc/{pid}/{what}", os.O_RDONLY)
                found.append(what)
            except OSError as error:
                pass
try:
    open("/proc/sys/kernel/core_pattern", "w")
    found.append("core_pattern")
except OSError:
    pass
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0) == 0 or libc.unshare(0x10000000) == 0:
    found.append("mount")
control.send(("found " + " ".join(found)).encode())
control.recv(1)
)");
  auto made = it.house.run(
      it.house.spawner->start_template(it.spec({"/usr/bin/python3", "-u", "/look.py"})));
  CHECK(it.house.run(made->read_message()) == "found ");
  it.house.run(made->sandbox().remove());
}

TEST_CASE("the spawner's end takes templates and forks with it") {
  if (skipped()) return;
  int forked = 0, parent = 0;
  {
    TemplateHouse it;
    auto made = it.start_template();
    auto sleeper = it.house.start(it.fork_spec(*made, {"sleep"}));
    CHECK(it.house.first_output(*sleeper).starts_with("asleep"));
    forked = sleeper->pid();
    parent = made->sandbox().pid();
    CHECK(::kill(forked, 0) == 0);
    it.house.spawner.reset();
    sleeper.reset();
    made.reset();
  }
  const Instant latest = monotonic_now() + 20s;
  while ((::kill(forked, 0) == 0 || ::kill(parent, 0) == 0) && monotonic_now() < latest) {
    ::usleep(10'000);
  }
  CHECK(::kill(forked, 0) != 0);
  CHECK(::kill(parent, 0) != 0);
}

namespace {

// Templates with spares: these need a network, because containers have one.
struct SpareHouse : TemplateHouse {
  SpareHouse() : TemplateHouse(House::Networking::on) {}

  // NOLINTNEXTLINE(bugprone-derived-method-shadowing-base-method): it waits besides
  std::unique_ptr<Template> start_template(std::vector<std::string> modules = {"job", "base"}) {
    auto made = TemplateHouse::start_template(std::move(modules));
    CHECK(ready_word(*made) == "ready ");
    return made;
  }
  // Of the cgroup of that name; none: there is no such cgroup.
  static std::vector<int> processes(const std::string& instance, const std::string& name) {
    const auto layout = os::CgroupLayout::detect();
    REQUIRE(layout);
    return os::Cgroup(*layout, "thaw-" + instance + "/ac-1/" + name).processes();
  }
  std::vector<int> processes(const std::string& name) const {
    return processes(house.options.instance, name);
  }
  // The processes of spares but their PID 1, in the host's numbers.
  std::set<int> interpreters(Template& from) const {
    std::set<int> found;
    for (int number = 1; number < 20; ++number) {
      for (const int pid : processes(from.sandbox().id().str() + "-s" + std::to_string(number))) {
        if (read_file("/proc/" + std::to_string(pid) + "/comm").starts_with("python")) {
          found.insert(pid);
        }
      }
    }
    return found;
  }
  // Asks for so many until they are there: one that died is not missed at once.
  std::set<int> keep(Template& from, std::size_t count) {
    from.keep_spares(count);
    const Instant latest = monotonic_now() + 60s;
    while (house.run(from.count_spares()) != count && monotonic_now() < latest) {
      from.keep_spares(count);
      house.run(async::sleep_for(5ms));
    }
    CHECK(house.run(from.count_spares()) == count);
    return interpreters(from);
  }
};

}  // namespace

TEST_CASE("a spare is taken once, and becomes what any other fork is") {
  if (skipped()) return;
  SpareHouse it;
  auto made = it.start_template();
  const std::set<int> spare = it.keep(*made, 1);
  REQUIRE(spare.size() == 1);
  auto sleeper = it.house.start(it.fork_spec(*made, {"sleep"}));
  CHECK(it.house.first_output(*sleeper).starts_with("asleep"));
  // Its process and no other is in the container's own cgroup, beside PID 1.
  const std::vector<int> inside = it.processes(sleeper->id().str());
  CHECK(inside.size() == 2);
  CHECK(std::count(inside.begin(), inside.end(), *spare.begin()) == 1);
  CHECK(sleeper->address().starts_with("10."));
  // The next one is made from the template itself: nobody has asked for another spare.
  CHECK(it.fork_to_end(*made, {"show", "5"}).out == "show 5 / hello False 1 False tester\n");
  CHECK(it.house.run(made->count_spares()) == 0);
  CHECK(it.keep(*made, 1) != spare);
  CHECK(it.fork_to_end(*made, {"show", "6"}).out == "show 6 / hello False 1 False tester\n");
  CHECK(sleeper->signal(SIGTERM));
  CHECK(it.house.finish(*sleeper).status.signal == SIGTERM);
  it.house.run(sleeper->remove());
  it.house.run(made->sandbox().remove());
}

TEST_CASE("what a spare becomes has a function's powers and sees only itself") {
  if (skipped()) return;
  SpareHouse it;
  auto made = it.start_template();
  std::string texts[2][3];
  for (const bool from_spare : {false, true}) {
    int at = 0;
    for (const char* what : {"status", "setns", "processes"}) {
      if (from_spare) {
        it.keep(*made, 1);
      }
      auto wanted = it.fork_spec(*made, {what});
      wanted.user = "ann";
      texts[from_spare ? 1 : 0][at++] = it.house.run_to_end(std::move(wanted)).out;
      CHECK(it.house.run(made->count_spares()) == 0);
    }
  }
  CHECK(texts[0][0].find("NoNewPrivs 1\n") != std::string::npos);
  CHECK(texts[0][0] == texts[1][0]);
  CHECK(texts[0][1] == texts[1][1]);
  const auto files_of = [](const std::string& text) { return text.substr(text.find('\n')); };
  CHECK(files_of(texts[0][2]) == files_of(texts[1][2]));
  it.house.run(made->sandbox().remove());
}

TEST_CASE("what two spares become shares no random numbers") {
  if (skipped()) return;
  SpareHouse it;
  auto made = it.start_template({"job", "base", "uuid", "random"});
  it.keep(*made, 2);
  std::set<std::string> values;
  for (int i = 0; i < 2; ++i) {
    std::istringstream words(it.fork_to_end(*made, {"seeds"}).out);
    for (std::string word; words >> word;) {
      values.insert(word);
    }
  }
  CHECK(it.house.run(made->count_spares()) == 0);
  CHECK(values.size() == 8);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a limit holds for what a spare becomes") {
  if (skipped()) return;
  SpareHouse it;
  auto made = it.start_template();
  it.keep(*made, 1);
  auto wanted = it.fork_spec(*made, {"eat"});
  wanted.limits.memory_bytes = 96 << 20;
  const Output output = it.house.run_to_end(std::move(wanted));
  CHECK(it.house.run(made->count_spares()) == 0);
  CHECK(output.status.signal == SIGKILL);
  CHECK(output.status.out_of_memory);
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a spare has its template's limit until it is somebody's, and then that one's or none") {
  if (skipped()) return;
  SpareHouse it;
  auto wanted = it.spec({"/usr/bin/python3", "-u", "/fork_program.py", "job", "base"});
  wanted.limits.memory_bytes = 512 << 20;
  auto made = it.house.run(it.house.spawner->start_template(std::move(wanted)));
  CHECK(it.ready_word(*made) == "ready ");
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  const bool is_v1 = layout->version == os::CgroupLayout::Version::v1;
  const auto limit_of = [&](const std::string& name) {
    return read_file(layout->memory + "/thaw-" + it.house.options.instance + "/ac-1/" + name +
                     (is_v1 ? "/memory.limit_in_bytes" : "/memory.max"));
  };
  for (const std::uint64_t limit : {std::uint64_t{0}, std::uint64_t{1} << 30}) {
    const std::string spare = made->sandbox().id().str() + (limit == 0 ? "-s1" : "-s2");
    it.keep(*made, 1);
    CHECK(limit_of(spare) == std::to_string(512 << 20) + "\n");
    auto spec = it.fork_spec(*made, {"sleep"});
    spec.limits.memory_bytes = limit;
    auto sleeper = it.house.start(spec);
    CHECK(it.house.run(made->count_spares()) == 0);
    const std::string own = limit_of(sleeper->id().str());
    if (limit != 0) {
      CHECK(own == std::to_string(limit) + "\n");
    } else {
      CHECK((own == "max\n" || own.size() > std::string("1000000000000000").size()));
    }
    it.house.run(sleeper->remove());
  }
  it.house.run(made->sandbox().remove());
}

TEST_CASE("a spare that died is replaced; those that are not wanted go") {
  if (skipped()) return;
  SpareHouse it;
  auto made = it.start_template();
  const std::set<int> first = it.keep(*made, 1);
  REQUIRE(first.size() == 1);
  CHECK(::kill(*first.begin(), SIGKILL) == 0);
  while (it.house.run(made->count_spares()) != 0) {
    it.house.run(async::sleep_for(2ms));
  }
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  const std::set<int> next = it.keep(*made, 2);
  CHECK(next.size() == 2);
  CHECK(!next.contains(*first.begin()));
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  it.keep(*made, 0);
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  const std::set<int> last = it.keep(*made, 2);
  CHECK(last.size() == 2);
  it.house.run(made->sandbox().remove());
  for (const int pid : last) {
    const Instant latest = monotonic_now() + 20s;
    while (::kill(pid, 0) == 0 && monotonic_now() < latest) {
      it.house.run(async::sleep_for(2ms));
    }
    CHECK(::kill(pid, 0) != 0);
  }
}

TEST_CASE("a spare of a hostile template costs no more than the fork") {
  if (skipped()) return;
  SpareHouse it;
  const std::string be_forked =
      "    libc.setns(pids, 0x20000000)\n"
      "    if os.fork() == 0:\n        if os.fork():\n            os._exit(0)\n"
      "        while os.getppid() != 1: pass\n"
      "        hello.send(b'here')\n        hello.recv(9)\n";
  const std::pair<const char*, std::string> misdeeds[] = {
      {"never ready", "        time.sleep(600)\n"},
      {"all its powers",
       "        hello.send(b'ready')\n        hello.recv(9)\n"
       "        hello.send(b'fit')\n        time.sleep(600)\n"},
      {"its end after its word", "        hello.send(b'ready')\n        os._exit(0)\n"},
      {"fit without an order",
       "        hello.send(b'ready')\n        hello.send(b'fit')\n"
       "        time.sleep(600)\n"}};
  for (const auto& [name, misdeed] : misdeeds) {
    CAPTURE(name);
    auto made = it.start_hostile(be_forked + misdeed);
    made->keep_spares(1);
    const Instant latest = monotonic_now() + 1s;  // one of them is never ready
    while (it.house.run(made->count_spares()) == 0 && monotonic_now() < latest) {
      it.house.run(async::sleep_for(2ms));
    }
    (void)it.failure_of(*made);
    it.house.run(made->sandbox().remove());
  }
  auto made = it.start_template();
  CHECK(it.fork_to_end(*made, {"show", "0"}).status.code == 0);
  it.house.run(made->sandbox().remove());
}
