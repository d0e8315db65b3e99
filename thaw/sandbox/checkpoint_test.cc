// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

constexpr std::uint64_t plenty = std::uint64_t{1} << 40;

std::string criu_program() {
  const char* named = std::getenv("THAW_CRIU");
  const std::string path = named != nullptr ? named : "/usr/local/lib/thaw/criu/criu";
  return os::exists(path) ? path : "";
}

bool without_criu() {
  if (skipped()) {
    return true;
  }
  if (!criu_program().empty()) {
    return false;
  }
  std::puts("skipped: there is no criu; tools/setup installs it");
  return true;
}

// A checkpoint on disk and what restores it.
struct Taken {
  SandboxSpec spec;
  std::string powers;
};

std::string ask(House& house, Sandbox& sandbox, int signal, const std::string& until = "\n") {
  REQUIRE(sandbox.signal(signal));
  std::string text;
  while (!text.ends_with(until)) {
    const std::string piece = house.first_output(sandbox);
    REQUIRE(!piece.empty());
    text += piece;
  }
  return text;
}

// A restored program has one more filter, for the memory that is mapped from its images.
bool has_powers_of(const Taken& taken, std::string said) {
  INFO(said);
  const std::string own = "Seccomp_filters:\t1\n", guarded = "Seccomp_filters:\t2\n";
  REQUIRE(taken.powers.find(own) != std::string::npos);
  if (const std::size_t at = said.find(guarded); at != std::string::npos) {
    said.replace(at, guarded.size(), own);
  }
  CHECK(said == taken.powers);
  return said == taken.powers;
}

// NOLINTNEXTLINE(bugprone-unchecked-string-to-number-conversion): what is no number is none
int counted(const std::string& line) { return std::atoi(line.c_str()); }

SandboxSpec countable(House& house, const std::string& megabytes, const std::string& held) {
  SandboxSpec spec = house.spec({"count", megabytes, held});
  spec.checkpoints = SandboxSpec::Checkpoints::possible;
  spec.upper = house.temporary.folder + "/upper-" + spec.id.str();
  return spec;
}

Taken take(House& house, const SandboxSpec& spec) {
  auto sandbox = house.start(spec);
  std::string first;
  while (!first.ends_with("ready\n")) {
    first += house.first_output(*sandbox);
  }
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 1);
  Taken taken;
  taken.powers = ask(house, *sandbox, SIGUSR2, "end\n");
  taken.spec = spec;
  taken.spec.layers.push_back(spec.upper + "/upper");
  taken.spec.upper.clear();
  RestoreFrom& from = taken.spec.restore.emplace();
  from.images = house.temporary.folder + "/images-" + spec.id.str();
  std::filesystem::create_directory(from.images);
  from.checkpoint = house.run(sandbox->checkpoint(from.images, plenty));
  house.run(sandbox->remove());
  return taken;
}

Taken take(House& house, const std::string& megabytes = "1", const std::string& held = "") {
  return take(house, countable(house, megabytes, held));
}

// What CRIU says when it is run without any care, as root with this folder for its root.
std::string plain_criu(const std::string& root, std::vector<const char*> arguments) {
  const os::Fd program(::open(criu_program().c_str(), O_RDONLY | O_CLOEXEC));
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], 1);
    ::dup2(ends[1], 2);
    arguments.insert(arguments.begin(), "criu");
    arguments.push_back(nullptr);
    char* const environment[] = {nullptr};
    const std::string proc = root + "/proc";
    ::mkdir(proc.c_str(), 0755);
    if (::unshare(CLONE_NEWNS) == 0 &&
        ::mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount("/proc", proc.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0 &&
        ::chroot(root.c_str()) == 0 && ::chdir("/") == 0) {
      ::fexecve(program.get(), const_cast<char* const*>(arguments.data()), environment);
    }
    ::_exit(99);
  }
  ::close(ends[1]);
  std::string said;
  char piece[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], piece, sizeof piece)) > 0;) {
    said.append(piece, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  return said;
}

std::unique_ptr<Sandbox> restore(House& house, const Taken& taken, const std::string& id) {
  SandboxSpec spec = taken.spec;
  spec.id = model::ContainerId(id);
  return house.start(std::move(spec));
}

}  // namespace

TEST_CASE("a restored program goes on where it was stopped, twice, with no more powers") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  const Taken taken = take(house, "20");
  for (const char* id : {"ta-r1", "ta-r2"}) {
    auto sandbox = restore(house, taken, id);
    const std::string line = ask(house, *sandbox, SIGUSR1);
    CHECK(counted(line) == 2);
    CHECK(line.find(" bad 0 ") != std::string::npos);
    CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
    REQUIRE(sandbox->signal(SIGTERM));
    CHECK(house.finish(*sandbox).status.signal == SIGTERM);
    house.run(sandbox->remove());
  }
}

TEST_CASE("what a program holds comes back with it") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  int count = 0;
  for (const char* held :
       {"file", "deleted", "lock", "listen", "child", "shm", "shared", "memfd", "named"}) {
    CAPTURE(std::string(held));
    const Taken taken = take(house, "1", held);
    auto sandbox = restore(house, taken, "ta-h" + std::to_string(++count));
    CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
    CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
    house.run(sandbox->remove());
  }
}

TEST_CASE("a restored program finds its connections closed and a door of its own") {
  if (without_criu()) return;
  House house(House::Networking::on, "", criu_program());
  SandboxSpec spec = countable(house, "1", "door");
  spec.door_port = 9001;
  const Taken taken = take(house, spec);
  for (const char* id : {"ta-o1", "ta-o2"}) {
    auto sandbox = restore(house, taken, id);
    const os::Fd door = sandbox->take_door();
    REQUIRE(door.valid());
    const std::string said = ask(house, *sandbox, SIGUSR1, "open\n");
    CHECK_MESSAGE(said.find("old is closed, new is open") != std::string::npos, said);
    const os::Fd visitor(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char heard[16];
    REQUIRE(::recv(visitor.get(), heard, sizeof heard, 0) == 5);
    CHECK(std::string(heard, 5) == "again");
    house.run(sandbox->remove());
  }
}

TEST_CASE("memory that a restored program discards does not come back as it was") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  const Taken taken = take(house, "4", "discards");
  for (const char* id : {"ta-d1", "ta-d2"}) {
    auto sandbox = restore(house, taken, id);
    const std::string said = ask(house, *sandbox, SIGUSR1, "end\n");
    INFO(said);
    // What one has written is not seen by the next.
    CHECK(said.find("2 bad 0 ") == 0);
    CHECK(said.find("fresh zero ") != std::string::npos);
    CHECK(said.find("STALE") == std::string::npos);
    CHECK(said.find("NOT DISCARDED") == std::string::npos);
    house.run(sandbox->remove());
  }
}

TEST_CASE("what a restored program would miss is a reason for no checkpoint") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  const std::pair<const char*, const char*> all[] = {
      {"daemon", "no longer its child (probe)"},
      {"sysv", "System V objects (shm)"},
  };
  for (const auto& [held, reason] : all) {
    CAPTURE(std::string(held));
    auto sandbox = house.start(countable(house, "1", held));
    std::string first;
    while (!first.ends_with("ready\n")) {
      first += house.first_output(*sandbox);
    }
    const std::string images = house.temporary.folder + "/images-" + held;
    std::filesystem::create_directory(images);
    const auto taken = house.loop.run_task(sandbox->checkpoint(images, plenty));
    REQUIRE(!taken);
    CHECK(taken.error().code() == Code::failed_precondition);
    CHECK_MESSAGE(taken.error().to_string().find(reason) != std::string::npos,
                  taken.error().to_string());
    house.run(sandbox->remove());
  }
}

TEST_CASE("no process of a sandbox runs beside what checkpoints it") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  for (const std::string held : {"watcher", "watching daemon"}) {
    CAPTURE(held);
    SandboxSpec spec = countable(house, "1", held);
    spec.id = model::ContainerId(held == "watcher" ? "ta-watch" : "ta-daemon");
    auto sandbox = house.start(spec);
    std::string first;
    while (!first.ends_with("ready\n")) {
      first += house.first_output(*sandbox);
    }
    const std::string images = house.temporary.folder + "/images-" + spec.id.str();
    std::filesystem::create_directory(images);
    const auto taken = house.loop.run_task(sandbox->checkpoint(images, plenty));
    CHECK(taken.has_value() == (held == "watcher"));
    REQUIRE(!os::exists(spec.upper + "/upper/tmp/seen"));
    if (!taken) {  // it runs on, as if nothing had been
      CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 1);
    }
    house.run(sandbox->remove());
  }
}

TEST_CASE("ten restores of one checkpoint run beside each other") {
  if (without_criu()) return;
  House house(House::Networking::on, "", criu_program());
  const Taken taken = take(house, "5");
  std::vector<std::unique_ptr<Sandbox>> sandboxes;
  for (int i = 0; i < 10; ++i) {
    sandboxes.push_back(restore(house, taken, "ta-c" + std::to_string(i)));
  }
  for (const auto& sandbox : sandboxes) {
    CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
    house.run(sandbox->remove());
  }
}

TEST_CASE(
    "what was stopped with the machine's ids goes on with ids of its own, never the reverse") {
  if (without_criu()) return;
  if (!with_own_ids()) {
    std::puts("skipped: sandboxes have no ids of their own here");
    return;
  }
  House own(House::Networking::off, "", criu_program());
  House plain(House::Networking::off, "", criu_program(), House::OwnIds::off);
  const Taken before = take(plain, "5", "named");
  auto sandbox = restore(own, before, "ta-later");
  CHECK(counted(ask(own, *sandbox, SIGUSR1)) == 2);
  CHECK(has_powers_of(before, ask(own, *sandbox, SIGUSR2, "end\n")));
  own.run(sandbox->remove());
  const Taken after = take(own, "5");
  SandboxSpec spec = after.spec;
  spec.id = model::ContainerId("ta-back");
  const auto started = plain.loop.run_task(plain.spawner->start(std::move(spec)));
  REQUIRE(!started);
  CHECK(started.error().code() == Code::failed_precondition);
}

TEST_CASE("a program and its child of another user come back as they were") {
  if (without_criu()) return;
  if (!with_own_ids()) {
    std::puts("skipped: sandboxes have no ids of their own here");
    return;
  }
  House house(House::Networking::off, "", criu_program());
  const Taken taken = take(house, "1", "user");
  auto sandbox = restore(house, taken, "ta-users");
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
  CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
  house.run(sandbox->remove());
}

TEST_CASE("a damaged checkpoint is an error that leaves nothing") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  const Taken taken = take(house);
  const std::string core = taken.spec.restore->images + "/core-1000.img";
  REQUIRE(::truncate(core.c_str(), 100) == 0);
  SandboxSpec spec = taken.spec;
  spec.id = model::ContainerId("ta-broken");
  const auto started = house.loop.run_task(house.spawner->start(std::move(spec)));
  REQUIRE(!started);
  INFO(started.error().to_string());
  CHECK(started.error().code() == Code::failed_precondition);
  CHECK(!os::exists(house.options.folder + "/ta-broken"));
  CHECK(os::exists(core));
}

TEST_CASE("a checkpoint that grows past its limit is an error") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  auto sandbox = house.start(countable(house, "20", ""));
  CHECK(house.first_output(*sandbox) == "ready\n");
  const std::string images = house.temporary.folder + "/small";
  std::filesystem::create_directory(images);
  const auto taken = house.loop.run_task(sandbox->checkpoint(images, 1 << 20));
  CHECK(!taken);
  house.run(sandbox->remove());
}

TEST_CASE("nothing that an image holds reaches into what checkpoints and restores it") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  const std::string& root = house.temporary.root;
  // Every place where CRIU, its loader or its libraries would look by default. Options of a
  // configuration file that was read, and plugins that cannot be loaded, end a run with an error.
  CHECK(plain_criu(root, {"check"}).find("unrecognized option") == std::string::npos);
  write_file(root + "/etc/ld.so.preload", "/lib/evil.so\n");
  write_file(root + "/etc/ld.so.cache", "not a cache");
  write_file(root + "/lib/evil.so", "not a library");
  write_file(root + "/etc/criu/default.conf", "no-such-option\n");
  write_file(root + "/root/.criu/default.conf", "no-such-option\n");
  write_file(root + "/run/criu.kdat", std::string(4096, 'x'));
  for (const char* folder : {"/var/lib/criu", "/usr/lib/criu", "/usr/local/lib/criu"}) {
    if (std::string(folder).starts_with("/var")) continue;  // a link in this root
    write_file(root + folder + "/evil.so", "not a library");
  }
  // Programs that CRIU runs to look at the kernel, where it finds them.
  for (const char* name : {"sh", "iptables", "ip6tables", "nft", "ip", "tar", "apparmor_parser"}) {
    const std::string path = root + "/bin/" + name;
    write_file(path, "#!/bin/probe mark\n");
    std::filesystem::permissions(path, std::filesystem::perms(0755));
  }
  std::filesystem::create_directory(root + "/tmp");
  // All this does harm where nothing is done about it; otherwise this test would prove nothing.
  CHECK(plain_criu(root, {"check"}).find("no-such-option") != std::string::npos);
  const std::string plugins = plain_criu(
      root, {"dump", "--no-default-config", "--images-dir", "/tmp", "--tree", "4194303"});
  CHECK_MESSAGE(plugins.find("evil.so") != std::string::npos, plugins);
  CHECK(std::filesystem::remove(root + "/tmp/marked"));

  const Taken taken = take(house);
  auto sandbox = restore(house, taken, "ta-hostile");
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
  CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
  house.run(sandbox->remove());
  CHECK(read_file(root + "/run/criu.kdat") == std::string(4096, 'x'));
  CHECK(!os::exists(taken.spec.layers.back() + "/tmp/marked"));
  CHECK(!os::exists(root + "/tmp/marked"));
}

TEST_CASE("without the program nothing is checkpointed, and the sandbox runs on") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(countable(house, "1", ""));
  CHECK(house.first_output(*sandbox) == "ready\n");
  const auto taken = house.loop.run_task(sandbox->checkpoint(house.temporary.folder, plenty));
  REQUIRE(!taken);
  CHECK(taken.error().code() == Code::failed_precondition);
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 1);
  house.run(sandbox->remove());
}

TEST_CASE("pages are mapped, and a program cannot take away what is mapped") {
  if (without_criu()) return;
  if (read_file(criu_program()).find("map-pages") == std::string::npos) {
    std::puts("skipped: this criu does not map pages");
    return;
  }
  House house(House::Networking::off, "", criu_program());
  const Taken taken = take(house, "20");
  auto sandbox = restore(house, taken, "ta-mapped");
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
  const std::string powers = ask(house, *sandbox, SIGUSR2, "end\n");
  CHECK_MESSAGE(powers.find("Seccomp_filters:\t2\n") != std::string::npos, powers);
  house.run(sandbox->remove());
}

TEST_CASE("pages of a program that dies when memory cannot be given back are read, not mapped") {
  if (without_criu()) return;
  House house(House::Networking::off, "", criu_program());
  {
    // What every build of V8 holds; nobody runs it here.
    std::ofstream probe(house.temporary.root + "/bin/probe", std::ios::app | std::ios::binary);
    probe << std::string(3'000'001, 'x') << "\n# Fatal error in %s, line %d\n";
  }
  const Taken taken = take(house, "20");
  auto sandbox = restore(house, taken, "ta-read");
  const std::string line = ask(house, *sandbox, SIGUSR1);
  CHECK(counted(line) == 2);
  CHECK(line.find(" bad 0 ") != std::string::npos);
  // The filter that guards mapped pages is not there.
  CHECK(ask(house, *sandbox, SIGUSR2, "end\n") == taken.powers);
  house.run(sandbox->remove());
}
