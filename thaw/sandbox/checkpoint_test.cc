// SPDX-License-Identifier: Apache-2.0
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

int counted(const std::string& line) { return std::atoi(line.c_str()); }

SandboxSpec countable(House& house, const std::string& megabytes, const std::string& held) {
  SandboxSpec spec = house.spec({"count", megabytes, held});
  spec.checkpoints = SandboxSpec::Checkpoints::possible;
  spec.upper = house.temporary.folder + "/upper-" + spec.id.str();
  return spec;
}

Taken take(House& house, const std::string& megabytes = "1", const std::string& held = "") {
  SandboxSpec spec = countable(house, megabytes, held);
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
  for (const char* held : {"file", "deleted", "lock", "listen", "child", "shm"}) {
    CAPTURE(std::string(held));
    const Taken taken = take(house, "1", held);
    auto sandbox = restore(house, taken, "ta-h" + std::to_string(++count));
    CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
    CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
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
  const Taken taken = take(house);
  auto sandbox = restore(house, taken, "ta-hostile");
  CHECK(counted(ask(house, *sandbox, SIGUSR1)) == 2);
  CHECK(has_powers_of(taken, ask(house, *sandbox, SIGUSR2, "end\n")));
  house.run(sandbox->remove());
  CHECK(read_file(root + "/run/criu.kdat") == std::string(4096, 'x'));
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
