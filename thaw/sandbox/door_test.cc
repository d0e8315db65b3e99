// SPDX-License-Identifier: Apache-2.0
//
// The door of a sandbox: whoever holds its socket hears what the program says at an address of its
// own network, however the sandbox was started, and nobody else does.
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "thaw/sandbox/detail/wire.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

constexpr std::uint16_t port = 9001;
constexpr int patience_ms = 20'000;

// What the next visitor says; it gets the answer.
std::string hear(const os::Fd& door, const std::string& answer) {
  pollfd ready{door.get(), POLLIN, 0};
  REQUIRE(::poll(&ready, 1, patience_ms) == 1);
  const os::Fd visitor(::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(visitor.valid());
  char said[64];
  const ssize_t n = ::recv(visitor.get(), said, sizeof said, 0);
  REQUIRE(::send(visitor.get(), answer.data(), answer.size(), 0) > 0);
  return std::string(said, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
}

std::size_t open_descriptors() { return os::list_folder("/proc/self/fd").size(); }

SandboxSpec with_door(SandboxSpec spec) {
  spec.door_port = port;
  return spec;
}

}  // namespace

TEST_CASE("a program finds its door at an address, with a network and without") {
  if (skipped()) return;
  for (const auto networking : {House::Networking::on, House::Networking::off}) {
    House house(networking);
    auto sandbox = house.start(with_door(house.spec({"say", "9001", "hello"})));
    const os::Fd door = sandbox->take_door();
    REQUIRE(door.valid());
    CHECK(!sandbox->take_door().valid());
    CHECK(hear(door, "welcome") == "hello");
    CHECK(house.finish(*sandbox).out == "welcome");
    house.run(sandbox->remove());
  }
}

TEST_CASE("each sandbox has its own door, and who has asked for none has none") {
  if (skipped()) return;
  House house(House::Networking::on);
  auto first = house.start(with_door(house.spec({"say", "9001", "first"})));
  auto second = house.start(with_door(house.spec({"say", "9001", "second"})));
  const os::Fd first_door = first->take_door();
  const os::Fd second_door = second->take_door();
  CHECK(hear(second_door, "to the second") == "second");
  CHECK(hear(first_door, "to the first") == "first");
  CHECK(house.finish(*first).out == "to the first");
  CHECK(house.finish(*second).out == "to the second");
  // The port is everybody's own.
  auto third = house.start(house.spec({"say", "9001", "third"}));
  CHECK(!third->take_door().valid());
  CHECK(house.finish(*third).out == "ECONNREFUSED\n");
  auto fourth = house.start(house.spec({"listen", "127.0.0.1", "9001"}));
  CHECK(house.first_output(*fourth) == "listening\n");
  for (auto* sandbox : {&first, &second, &third, &fourth}) {
    house.run((*sandbox)->remove());
  }
}

TEST_CASE("a program cannot take the place of its door") {
  if (skipped()) return;
  House house;
  auto sandbox = house.start(with_door(house.spec({"listen", "0.0.0.0", "9001"})));
  CHECK(house.finish(*sandbox).out == "EADDRINUSE\n");
  house.run(sandbox->remove());
}

TEST_CASE("a door ends with its sandbox, and many of them leave nothing open") {
  if (skipped()) return;
  House house;
  house.run_to_end(house.spec({"exit", "0"}));  // what is opened once is open now
  const std::size_t before = open_descriptors();
  constexpr int starts = 100;  // each opens what a thousand would leak
  for (int i = 0; i < starts; ++i) {
    auto sandbox = house.start(with_door(house.spec({"exit", "0"})));
    if (i % 2 == 0) {
      CHECK(sandbox->take_door().valid());  // and lets go of it
    }
    CHECK(house.finish(*sandbox).status.code == 0);
    house.run(sandbox->remove());
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("a sandbox with the host's network is given no door") {
  SandboxSpec spec;
  spec.id = model::ContainerId("ta-1");
  spec.layers = {"/tmp"};
  spec.argv = {"probe"};
  spec.door_port = port;
  CHECK(detail::validate(spec));
  spec.network = SandboxSpec::Network::host;
  CHECK(!detail::validate(spec));
}
