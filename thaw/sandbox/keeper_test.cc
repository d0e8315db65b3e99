// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/keeper.h"

#include <sys/stat.h>

#include <csignal>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

SpawnerOptions keeping() {
  SpawnerOptions options;
  options.keeping = SpawnerOptions::Keeping::on;
  return options;
}

struct KeepingHouse : House {
  KeepingHouse() : House(Networking::off, "", "", own_ids_here(), keeping()) {}

  std::unique_ptr<Sandbox> open() {
    auto wanted = spec({});
    wanted.argv = {};
    wanted.guests = SandboxSpec::Guests::possible;
    return start(std::move(wanted));
  }
  // As a server that ends.
  void leave() {
    run(spawner->leave());
    spawner.reset();
  }
  Result<void> come_back(const SpawnerOptions& wanted) {
    THAW_TRY(spawner, Spawner::fork(wanted));
    THAW_TRY_VOID(spawner->attach(loop, *pool));
    return loop.run_task(spawner->prepare());
  }
  std::string socket() const { return "/run/thaw/keepers/" + options.instance; }
  // Whoever keeps is given its time, by what the file system shows.
  void wait_for_keepers_end() const {
    while (os::exists(socket())) {
      ::usleep(5'000);
    }
  }
};

ProcessSpec guest(std::vector<std::string> argv, std::string note) {
  ProcessSpec spec;
  spec.argv = std::move(argv);
  spec.argv.insert(spec.argv.begin(), "probe");
  spec.env = {"PATH=/usr/bin:/bin"};
  spec.note = std::move(note);
  return spec;
}

async::Task<std::string> all_of(Process& process) {
  std::string text;
  while (true) {
    THAW_CO_TRY(auto piece, co_await process.read_stdout());
    if (!piece) {
      co_return text;
    }
    text += *piece;
  }
}

constexpr Instant never = Instant::max();

}  // namespace

TEST_CASE("what is kept goes on under the next server, with its processes and their streams") {
  if (skipped()) return;
  KeepingHouse house;
  auto kept = house.open();
  auto other = house.open();
  const int other_pid = other->pid();
  auto cat = house.run(kept->run(guest({"cat", "/dev/stdin"}, "of cat")));
  auto ended = house.run(kept->run(guest({"exit", "41"}, "of one that ends")));
  auto forgotten = house.run(kept->run(guest({"sleep", "600"}, "")));
  std::size_t written = 0;
  house.run(cat->write("before ", written));
  cat->mark("7 bytes");
  CHECK(house.run(ended->wait()).code == 41);
  house.run(kept->keep("what is to be known", never));
  const int pid = kept->pid();
  kept->leave();
  house.leave();
  cat.reset();
  ended.reset();
  forgotten.reset();
  kept.reset();
  other.reset();

  REQUIRE(house.come_back(house.options));
  CHECK(house.spawner->was_taken_over());
  auto all = house.run(house.spawner->take_kept());
  REQUIRE(all.size() == 1);
  CHECK(all[0].note == "what is to be known");
  CHECK(all[0].until == never);
  CHECK(all[0].sandbox->pid() == pid);
  CHECK_FALSE(all[0].sandbox->has_ended());
  while (::kill(other_pid, 0) == 0) {
    ::usleep(5'000);  // it was nobody's any more
  }
  auto processes = house.run(all[0].sandbox->kept_processes());
  REQUIRE(processes.size() == 2);
  CHECK(processes[0].note == "of cat");
  CHECK(processes[0].mark == "7 bytes");
  CHECK_FALSE(processes[0].is_input_closed);
  CHECK(processes[1].note == "of one that ends");
  CHECK(house.run(processes[1].process->wait()).code == 41);
  CHECK(house.run(all_of(*processes[1].process)).empty());
  Process& again = *processes[0].process;
  house.run(again.write("after", written = 0));
  again.close_input();
  CHECK(house.run(all_of(again)) == "before after");
  CHECK(house.run(again.wait()).code == 0);
  // Others are started beside them.
  const auto fresh = house.run(all[0].sandbox->run(guest({"print", "new"}, "third")));
  CHECK(house.run(all_of(*fresh)) == "new\n");
  house.run(all[0].sandbox->remove());
}

TEST_CASE("it outlives one server after the other, and its processes end with it") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  auto process = house.run(sandbox->run(guest({"sleep", "600"}, "sleeper")));
  house.run(sandbox->keep("note", never));
  for (int i = 0; i < 3; ++i) {
    sandbox->leave();
    house.leave();
    process.reset();
    sandbox.reset();
    REQUIRE(house.come_back(house.options));
    auto all = house.run(house.spawner->take_kept());
    REQUIRE(all.size() == 1);
    sandbox = std::move(all[0].sandbox);
    auto processes = house.run(sandbox->kept_processes());
    REQUIRE(processes.size() == 1);
    process = std::move(processes[0].process);
  }
  house.run(process->signal(SIGTERM));
  CHECK(house.run(process->wait()).signal == SIGTERM);
  house.run(sandbox->remove());
  house.run(house.spawner->shut_down());
  house.spawner.reset();
  CHECK_FALSE(os::exists(house.socket()));
}

TEST_CASE("output is in its journal before anybody sees it") {
  if (skipped()) return;
  KeepingHouse house;
  const auto sandbox = house.open();
  const std::string place = house.temporary.folder + "/journal";
  {
    const auto process = house.run(sandbox->run(guest({"print", "to out", "to err"}, "note")));
    process->journal(place + ".out", place + ".err");
    CHECK(house.run(all_of(*process)) == "to out\n");
    CHECK(read_file(place + ".out") == "to out\n");
    CHECK_FALSE(os::exists(place + ".err"));  // nobody has read that
  }
  // It goes on at its end; a terminal's is written too.
  auto spec = guest({"print", "more", "less"}, "note");
  spec.terminal = TerminalSize{};
  const auto process = house.run(sandbox->run(std::move(spec)));
  process->journal(place + ".out", place + ".err");
  CHECK(house.run(all_of(*process)) == "more\r\nless\r\n");
  CHECK(read_file(place + ".out") == "to out\nmore\r\nless\r\n");
  house.run(sandbox->remove());
}

TEST_CASE("without a server it ends at its time, and nothing of it is left") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  const int pid = sandbox->pid();
  house.run(sandbox->keep("note", monotonic_now() + 100ms));
  sandbox->leave();
  house.leave();
  house.wait_for_keepers_end();
  sandbox.reset();
  CHECK(::kill(pid, 0) != 0);
  REQUIRE(house.come_back(house.options));
  CHECK_FALSE(house.spawner->was_taken_over());
  CHECK(house.run(house.spawner->take_kept()).empty());
}

TEST_CASE("what is kept ends with its folder, for which no server will come") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  const int pid = sandbox->pid();
  house.run(sandbox->keep("note", never));
  sandbox->leave();
  house.leave();
  sandbox.reset();
  const std::string moved = house.temporary.folder + "/moved";
  SUBCASE("it was moved") { std::filesystem::rename(house.options.folder, moved); }
  SUBCASE("it is another one") {
    std::filesystem::rename(house.options.folder, moved);
    write_file(house.options.folder + "/keeper-key", std::string(64, 'a'));
  }
  house.wait_for_keepers_end();
  CHECK(::kill(pid, 0) != 0);
  REQUIRE(house.come_back(house.options));
  CHECK_FALSE(house.spawner->was_taken_over());
}

TEST_CASE("a server that wants other things of its containers gets none of what is kept") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  const int pid = sandbox->pid();
  house.run(sandbox->keep("note", never));
  sandbox->leave();
  house.leave();
  sandbox.reset();
  SpawnerOptions other = house.options;
  other.refused_networks = {"10.9.0.0/16"};
  REQUIRE(house.come_back(other));
  CHECK_FALSE(house.spawner->was_taken_over());
  CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("whoever has not got the folder's secret is refused, and costs nothing") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  house.run(sandbox->keep("note", never));
  const std::string key = read_file(house.options.folder + "/keeper-key");
  // While the server lives nobody takes its place.
  const auto beside = detail::take_over(house.options, key);
  REQUIRE(!beside);
  CHECK(beside.error().code() == Code::failed_precondition);
  sandbox->leave();
  house.leave();
  const auto refused = detail::take_over(house.options, std::string(64, '0'));
  REQUIRE(!refused);
  CHECK(refused.error().code() == Code::failed_precondition);
  REQUIRE(house.come_back(house.options));
  CHECK(house.run(house.spawner->take_kept()).size() == 1);
}

TEST_CASE("the death of who keeps it is its own") {
  if (skipped()) return;
  KeepingHouse house;
  auto sandbox = house.open();
  house.run(sandbox->keep("note", never));
  sandbox->leave();
  house.leave();
  auto taken = detail::take_over(house.options, read_file(house.options.folder + "/keeper-key"));
  REQUIRE(taken);
  REQUIRE(*taken);
  ::kill((*taken)->process.pid, SIGKILL);
  taken = Error::cancelled("its locks are gone");
  while (!sandbox->has_ended()) {
    ::usleep(5'000);
  }
  sandbox.reset();
  REQUIRE(house.come_back(house.options));
  CHECK_FALSE(house.spawner->was_taken_over());
}
