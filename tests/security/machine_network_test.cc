// SPDX-License-Identifier: Apache-2.0
//
// What needs a network of the machine's own to be seen: services of a cloud outside, and the table
// of connections. The test makes one: a process with network and /run/thaw of its own is the
// machine, and behind a cable is another one, that answers at port 80 of a few addresses.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdlib>
#include <functional>

#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

// The far side: answers whoever connects, for ever.
[[noreturn]] void answer_all(int ready) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::unshare(CLONE_NEWNET) != 0 || ::write(ready, "x", 1) != 1) {
    ::_exit(1);
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(80);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener, 64) != 0) {
    ::_exit(1);
  }
  while (true) {
    ::close(::accept(listener, nullptr, nullptr));
  }
}

bool run(const std::string& commands) { return std::system(("set -e; " + commands).c_str()) == 0; }

// The text that `body` gives in a machine of its own; empty: it could not be made.
std::string in_own_machine(const std::function<std::string()>& body) {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const pid_t machine = ::fork();
  if (machine == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int ready[2];
    if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0 ||
        ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("none", "/run", "tmpfs", 0, nullptr) != 0 || ::pipe2(ready, O_CLOEXEC) != 0) {
      ::_exit(1);
    }
    const pid_t far = ::fork();
    if (far == 0) {
      answer_all(ready[1]);
    }
    char told = 0;
    const std::string in_far = "nsenter -t " + std::to_string(far) + " -n ip ";
    if (::read(ready[0], &told, 1) != 1 ||
        !run("ip link set lo up; ip link add out type veth peer name far netns " +
             std::to_string(far) +
             "; ip addr add 198.51.100.1/24 dev out; ip link set out up; ip route add default via "
             "198.51.100.2; " +
             in_far + "link set lo up; " + in_far + "addr add 198.51.100.2/24 dev far; " + in_far +
             "addr add 100.100.100.200/32 dev lo; " + in_far +
             "addr add 168.63.129.16/32 dev lo; " + in_far + "addr add 192.0.0.192/32 dev lo; " +
             in_far + "addr add 203.0.113.7/32 dev lo; " + in_far + "link set far up")) {
      ::_exit(1);
    }
    const std::string text = body();
    ::_exit(::write(ends[1], text.data(), text.size()) > 0 ? 0 : 1);
  }
  ::close(ends[1]);
  std::string said;
  char piece[4096];
  for (ssize_t n = 0; (n = ::read(ends[0], piece, sizeof piece)) > 0;) {
    said.append(piece, static_cast<std::size_t>(n));
  }
  ::close(ends[0]);
  ::waitpid(machine, nullptr, 0);
  return said;
}

SpawnerOptions with_networks(std::vector<std::string> refused, std::vector<std::string> allowed) {
  SpawnerOptions options;
  options.refused_networks = std::move(refused);
  options.allowed_networks = std::move(allowed);
  return options;
}

std::string reach(House& house, const char* address) {
  return std::string(address) + " " + house.out_of({"connect", address, "80"});
}

}  // namespace

TEST_SUITE_BEGIN("security.network");

TEST_CASE("services that give away the machine's credentials are out of reach in every cloud") {
  if (skipped()) return;
  const std::string said = in_own_machine([] {
    House house(House::Networking::on);
    return reach(house, "198.51.100.2") + reach(house, "100.100.100.200") +
           reach(house, "168.63.129.16") + reach(house, "192.0.0.192") +
           reach(house, "203.0.113.7");
  });
  CHECK(said ==
        "198.51.100.2 ok\n100.100.100.200 EHOSTUNREACH\n168.63.129.16 EHOSTUNREACH\n"
        "192.0.0.192 EHOSTUNREACH\n203.0.113.7 ok\n");
}

TEST_CASE("the operator names networks that containers do not reach, and some that they do") {
  if (skipped()) return;
  const std::string said = in_own_machine([] {
    House house(House::Networking::on, "", "", own_ids_here(),
                with_networks({"203.0.113.0/24", "203.0.113.7/32"}, {"168.63.129.16/32"}));
    return reach(house, "198.51.100.2") + reach(house, "168.63.129.16") +
           reach(house, "192.0.0.192") + reach(house, "203.0.113.7");
  });
  CHECK(said ==
        "198.51.100.2 ok\n168.63.129.16 ok\n192.0.0.192 EHOSTUNREACH\n203.0.113.7 EHOSTUNREACH\n");
}

TEST_CASE("a container takes a small part of the machine's table of connections") {
  if (skipped()) return;
  const std::string said = in_own_machine([] {
    House house(House::Networking::on);
    const std::string sent = house.out_of({"spray", "198.51.100.2", "20000"});
    const std::string file = "/proc/sys/net/netfilter/nf_conntrack_count";
    return sent + (std::atoi(read_file(file).c_str()) <= 8192 + 100 ? "few" : read_file(file)) +
           "\n" + reach(house, "198.51.100.2");  // another one is not held back
  });
  CHECK(said == "20000\nfew\n198.51.100.2 ok\n");
}

TEST_SUITE_END();
