// SPDX-License-Identifier: Apache-2.0
#include "thaw/sandbox/detail/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "thaw/os/cgroup.h"
#include "thaw/os/files.h"
#include "thaw/os/netlink.h"
#include "thaw/sandbox/testing/fixture.h"

using namespace thaw;
using namespace thaw::sandbox;
using namespace thaw::sandbox::testing;

namespace {

// A listening socket of the host; port 0 picks one.
struct Listener {
  explicit Listener(const std::string& address) : fd(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    ::inet_pton(AF_INET, address.c_str(), &at.sin_addr);
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd.get(), 8) == 0);
    socklen_t size = sizeof at;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port = ntohs(at.sin_port);
  }
  os::Fd fd;
  int port = 0;
};

std::string connect_from_host(const std::string& address, int port) {
  const os::Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, address.c_str(), &to.sin_addr);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    return "refused";
  }
  char text[16];
  const ssize_t n = ::read(fd.get(), text, sizeof text);
  return std::string(text, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
}

}  // namespace

TEST_CASE("a sandbox has an address of its own where the host reaches its server") {
  if (skipped()) return;
  House house(House::Networking::on);
  auto sandbox = house.start(house.spec({"listen", "0.0.0.0", "80"}));
  CHECK(house.first_output(*sandbox) == "listening\n");
  CHECK(sandbox->address().starts_with("10."));
  CHECK(connect_from_host(sandbox->address(), 80) == "hello\n");
  house.run(sandbox->remove());
}

TEST_CASE("the address of the bridge stays as sandboxes come and go") {
  if (skipped()) return;
  House house(House::Networking::on);
  const auto address = [link = "/sys/class/net/tw-" + house.options.instance + "/address"] {
    const auto text = os::read_text(link);
    REQUIRE(text);
    return *text;
  };
  // A container knows it from its first packet on, and loses all others if it changes. A bridge
  // without one of its own takes the lowest of its links', which are random.
  const std::string first = address();
  for (int i = 0; i < 12; ++i) {
    auto sandbox = house.start(house.spec({"listen", "0.0.0.0", "80"}));
    CHECK(house.first_output(*sandbox) == "listening\n");
    CHECK(address() == first);
    house.run(sandbox->remove());
    CHECK(address() == first);
  }
}

TEST_CASE("of the host a sandbox reaches only the ports that were allowed on the bridge") {
  if (skipped()) return;
  House house(House::Networking::on);
  const std::string host = house.spawner->bridge_host();
  const Listener allowed(host);
  const Listener other(host);
  const Listener everywhere("0.0.0.0");
  house.run(house.spawner->allow_port(static_cast<std::uint16_t>(allowed.port)));
  CHECK(house.out_of({"connect", host, std::to_string(allowed.port)}) == "ok\n");
  CHECK(house.out_of({"connect", host, std::to_string(other.port)}) != "ok\n");
  CHECK(house.out_of({"connect", host, std::to_string(everywhere.port)}) != "ok\n");
  CHECK(house.out_of({"connect", "127.0.0.1", std::to_string(everywhere.port)}) ==
        "ECONNREFUSED\n");
}

TEST_CASE("sandboxes do not reach each other, of one server or of two") {
  if (skipped()) return;
  House house(House::Networking::on);
  House neighbour(House::Networking::on);
  auto server = house.start(house.spec({"listen", "0.0.0.0", "80"}));
  CHECK(house.first_output(*server) == "listening\n");
  CHECK(house.out_of({"connect", server->address(), "80"}) != "ok\n");
  CHECK(neighbour.out_of({"connect", server->address(), "80"}) != "ok\n");
  house.run(server->remove());
}

TEST_CASE("a sandbox reaches the networks of its list and nothing else") {
  if (skipped()) return;
  House house(House::Networking::on);
  const std::string host = house.spawner->bridge_host();
  const Listener allowed(host);
  house.run(house.spawner->allow_port(static_cast<std::uint16_t>(allowed.port)));
  const auto told = [&](std::vector<std::string> networks) {
    SandboxSpec spec = house.spec({"connect", host, std::to_string(allowed.port)});
    spec.reaches = std::move(networks);
    return house.run_to_end(std::move(spec)).out;
  };
  CHECK(told({host + "/32"}) == "ok\n");
  CHECK(told({"192.0.2.0/24", "0.0.0.0/0", "10.0.0.0/8", "::ffff:10.0.0.0/104"}) == "ok\n");
  CHECK(told({"10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/7", host}) == "ok\n");
  for (const auto& networks : std::vector<std::vector<std::string>>{
           {}, {"192.0.2.0/24"}, {"::/0"}, std::vector<std::string>(1'000, "192.0.2.7/31")}) {
    const std::string refused = told(networks);
    CHECK(refused != "ok\n");
    CHECK(refused != "ETIMEDOUT\n");  // it is told so at once
  }
}

TEST_CASE("who reaches nothing is reached all the same, and reaches itself") {
  if (skipped()) return;
  House house(House::Networking::on);
  SandboxSpec spec = house.spec({"listen", "0.0.0.0", "80"});
  spec.reaches.emplace();
  auto sandbox = house.start(std::move(spec));
  CHECK(house.first_output(*sandbox) == "listening\n");
  CHECK(connect_from_host(sandbox->address(), 80) == "hello\n");
  house.run(sandbox->remove());
  SandboxSpec own = house.spec({"connect", "127.0.0.1", "80"});
  own.reaches.emplace();
  CHECK(house.run_to_end(std::move(own)).out == "ECONNREFUSED\n");
}

TEST_CASE("a network that is already routed is refused, and says to whom") {
  if (skipped()) return;
  House house(House::Networking::on);
  Temporary temporary;
  SpawnerOptions options;
  options.instance = unique_name();
  options.folder = temporary.folder + "/sandboxes";
  options.bridge_address = house.spawner->bridge_host() + "/24";
  auto spawner = Spawner::fork(options);
  REQUIRE(spawner);
  REQUIRE((*spawner)->attach(house.loop, *house.pool));
  const auto prepared = house.loop.run_task((*spawner)->prepare());
  REQUIRE(!prepared);
  CHECK(prepared.error().code() == Code::failed_precondition);
  CHECK(prepared.error().message().find("tw-" + house.options.instance) != std::string::npos);
  house.run((*spawner)->shut_down());
}

TEST_CASE("a server that has no bridge for a moment keeps its network") {
  if (skipped()) return;
  House house(House::Networking::on);
  Temporary temporary;
  std::vector<std::unique_ptr<Spawner>> servers;
  for (int i = 0; i < 2; ++i) {
    SpawnerOptions options;
    options.instance = unique_name();
    options.folder = temporary.folder + "/" + options.instance;
    options.bridge_address = "auto";
    auto spawner = Spawner::fork(options);
    REQUIRE(spawner);
    REQUIRE((*spawner)->attach(house.loop, *house.pool));
    REQUIRE(house.loop.run_task((*spawner)->prepare()));
    servers.push_back(std::move(*spawner));
    if (i == 0) {
      REQUIRE(detail::remove_link("tw-" + options.instance));
    }
  }
  CHECK(servers[0]->bridge_host() != servers[1]->bridge_host());
  for (const auto& server : servers) {
    house.run(server->shut_down());
  }
}

TEST_CASE("after shut_down no link, no rule and no cgroup is left") {
  if (skipped()) return;
  std::string instance;
  {
    House house(House::Networking::on);
    instance = house.options.instance;
    CHECK(os::link_index("tw-" + instance) != 0);
    house.out_of({"exit", "0"});
    auto sandbox = house.start(house.spec({"sleep", "100"}));
    house.first_output(*sandbox);
  }
  CHECK(os::link_index("tw-" + instance) == 0);
  for (const std::string& name : os::link_names()) {
    CHECK(!name.starts_with(detail::veth_prefix(instance)));
  }
  const auto layout = os::CgroupLayout::detect();
  REQUIRE(layout);
  CHECK(os::top_cgroups(*layout, "thaw-" + instance).empty());
}
