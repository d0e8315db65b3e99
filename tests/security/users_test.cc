// SPDX-License-Identifier: Apache-2.0
//
// Each sandbox has user ids that nobody else on the machine has: what the kernel counts by user is
// its own, its root owns nothing of the machine, and files keep the ids that are seen inside.
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <csignal>
#include <set>
#include <sstream>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

bool without_own_ids() {
  if (skipped()) {
    return true;
  }
  if (with_own_ids()) {
    return false;
  }
  std::puts("skipped: sandboxes have no ids of their own here");
  return true;
}

// What the probe says when root of this machine runs it.
std::string on_machine(std::vector<std::string> argv) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], 1);
    argv.insert(argv.begin(), "probe");
    std::vector<char*> words;
    for (std::string& word : argv) {
      words.push_back(word.data());
    }
    words.push_back(nullptr);
    ::execv(THAW_SANDBOX_PROBE, words.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string said;
  char piece[256];
  for (ssize_t n = 0; (n = ::read(ends[0], piece, sizeof piece)) > 0;) {
    said.append(piece, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  return said;
}

// First id on the machine of a sandbox's own ids, and who made their user namespace.
struct Users {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  uid_t maker = 0;
};

Users users_of(const Sandbox& sandbox) {
  const std::string place = "/proc/" + std::to_string(sandbox.pid());
  Users users;
  std::uint64_t inside = 1;
  std::istringstream(read_file(place + "/uid_map")) >> inside >> users.first >> users.count;
  CHECK(inside == 0);
  const auto name_space = os::open_file(place + "/ns/user", O_RDONLY);
  REQUIRE(name_space);
  REQUIRE(::ioctl(name_space->get(), NS_GET_OWNER_UID, &users.maker) == 0);
  return users;
}

}  // namespace

TEST_SUITE_BEGIN("security.users");

TEST_CASE("what one sandbox uses up is there for others and for the machine's root") {
  if (without_own_ids()) return;
  House house;
  for (const char* what : {"inotify", "signals", "timers", "queues", "pipes", "shm", "flight"}) {
    CAPTURE(std::string(what));
    auto greedy = house.start(house.spec({"take-all", what}));
    const std::string taken = house.first_output(*greedy);
    CAPTURE(taken);
    CHECK(std::stoi(taken) > 3);
    CHECK(on_machine({"take", what, "3"}) == "3\n");
    CHECK(house.out_of({"take", what, "3"}) == "3\n");
    house.run(greedy->remove());
  }
}

TEST_CASE("processes of a user are counted for one sandbox") {
  if (without_own_ids()) return;
  House house;
  auto spec = house.spec({"take-all", "processes"});
  spec.user = "1000";
  auto greedy = house.start(spec);
  CHECK(std::stoi(house.first_output(*greedy)) < 50);
  CHECK(on_machine({"take", "processes", "3"}) == "3\n");
  spec.id = model::ContainerId("ta-modest");
  spec.argv = {"probe", "take", "processes", "3"};
  CHECK(house.run_to_end(std::move(spec)).out == "3\n");
  house.run(greedy->remove());
}

// A namespace made by root of the machine would be counted as root's, whatever ids it has; and who
// has the maker's id has every power in it.
TEST_CASE("each sandbox's ids and their maker are nobody else's") {
  if (without_own_ids()) return;
  House house;
  std::set<std::uint64_t> ids;
  std::set<uid_t> makers;
  std::vector<std::unique_ptr<Sandbox>> sandboxes;
  for (const Profile profile : {Profile::function, Profile::function, Profile::build}) {
    auto spec = house.spec({"sleep", "100"});
    spec.profile = profile;
    sandboxes.push_back(house.start(std::move(spec)));
    const Users users = users_of(*sandboxes.back());
    CHECK(users.first >= 524'288);
    CHECK(users.first % 65'536 == 0);
    CHECK(users.count == 65'536);
    CHECK(users.maker >= 0x8000'0000U);
    ids.insert(users.first);
    makers.insert(users.maker);
  }
  CHECK(ids.size() == 3);
  CHECK(makers.size() == 3);
  for (const auto& sandbox : sandboxes) {
    house.run(sandbox->remove());
  }
}

TEST_CASE("files have on disk the owners that are seen inside") {
  if (without_own_ids()) return;
  House house;
  const std::string upper = house.temporary.folder + "/layer";
  const auto run = [&](std::vector<std::string> argv) {
    auto spec = house.spec(std::move(argv));
    spec.upper = upper;
    return house.run_to_end(std::move(spec)).out;
  };
  CHECK(run({"put", "/roots", "x"}) == "ok\n");
  CHECK(run({"put", "/anns", "x"}) == "ok\n");
  CHECK(run({"chown", "/anns"}) == "ok\n");
  CHECK(run({"chown", "/etc/group"}) == "ok\n");  // a copy of what is below
  CHECK(run({"owner", "/anns"}) == "1000:1000\n");
  CHECK(run({"owner", "/roots"}) == "0:0\n");
  CHECK(run({"owner", "/"}) == "0:0\n");
  CHECK(run({"owner", "/etc/hosts"}) == "0:0\n");
  struct stat status {};
  REQUIRE(::stat((upper + "/upper/anns").c_str(), &status) == 0);
  CHECK(status.st_uid == 1000);
  REQUIRE(::stat((upper + "/upper/roots").c_str(), &status) == 0);
  CHECK(status.st_uid == 0);
  REQUIRE(::stat((upper + "/upper/etc/group").c_str(), &status) == 0);
  CHECK(status.st_gid == 1000);
  REQUIRE(::stat((house.temporary.root + "/etc/group").c_str(), &status) == 0);
  CHECK(status.st_gid == 0);
}

TEST_CASE("two sandboxes see the same owners in a folder that both have") {
  if (without_own_ids()) return;
  House house;
  const std::string shared = house.temporary.folder + "/volume";
  std::filesystem::create_directory(shared);
  REQUIRE(::chmod(shared.c_str(), 0777) == 0);
  const auto run = [&](std::vector<std::string> argv) {
    auto spec = house.spec(std::move(argv));
    spec.binds = {{shared, "/volume", BindMount::Access::read_write}};
    return house.run_to_end(std::move(spec)).out;
  };
  CHECK(run({"put-as", "33", "/volume/note", "x"}) == "ok\n");
  CHECK(run({"owner", "/volume/note"}) == "33:0\n");
  CHECK(run({"put-as", "33", "/volume/note", "y"}) == "ok\n");
  CHECK(run({"put-as", "34", "/volume/note", "z"}) == "EACCES\n");
  struct stat status {};
  REQUIRE(::stat((shared + "/note").c_str(), &status) == 0);
  CHECK(status.st_uid == 33);
}

TEST_CASE("what is in memory belongs to the sandbox's own users") {
  if (without_own_ids()) return;
  House house;
  CHECK(house.out_of({"owner", "/dev"}) == "0:0\n");
  CHECK(house.out_of({"owner", "/dev/null"}) == "0:0\n");
  CHECK(house.out_of({"put-as", "1000", "/dev/shm/note", "x"}) == "ok\n");
  CHECK(house.out_of({"put-as", "1000", "/dev/null", "x"}) == "ok\n");
  CHECK(house.out_of({"put-as", "1000", "/etc/hosts", "x"}) == "EACCES\n");
  CHECK(house.out_of({"put", "/etc/hosts", "x"}) == "ok\n");
}

TEST_CASE("a user that no range has is refused with the limit") {
  if (without_own_ids()) return;
  House house;
  auto spec = house.spec({"ids"});
  spec.user = "70000";
  const auto started = house.loop.run_task(house.spawner->start(std::move(spec)));
  REQUIRE(!started);
  INFO(started.error().to_string());
  CHECK(started.error().to_string().find("65535") != std::string::npos);
}

TEST_CASE("two servers never have the same ids, and a killed one's are free again") {
  if (without_own_ids()) return;
  Temporary temporary;
  const std::string folder = temporary.folder + "/sandboxes";
  House mine;
  auto sandbox = mine.start(mine.spec({"sleep", "100"}));
  const std::uint64_t own = users_of(*sandbox).first;
  // Servers beside this test take ids and leave them, so that the very next life may find others.
  std::set<std::uint64_t> before;
  bool has_them_again = false;
  for (int life = 0; life < 10 && !has_them_again; ++life) {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    const pid_t server = ::fork();
    if (server == 0) {
      ::close(ends[0]);
      House house(House::Networking::off, folder);
      const auto theirs = house.start(house.spec({"sleep", "100"}));
      const std::uint64_t first = users_of(*theirs).first;
      ::_exit(::write(ends[1], &first, sizeof first) == sizeof first && ::pause() != 0 ? 0 : 1);
    }
    ::close(ends[1]);
    std::uint64_t first = 0;
    REQUIRE(::read(ends[0], &first, sizeof first) == sizeof first);
    ::close(ends[0]);
    ::kill(server, SIGKILL);
    ::waitpid(server, nullptr, 0);
    CHECK(first != own);
    CHECK(first / 65'536 / 256 != own / 65'536 / 256);
    has_them_again = !before.insert(first).second;
  }
  CHECK(has_them_again);
  mine.run(sandbox->remove());
}

TEST_SUITE_END();
