// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "thaw/net/server.h"
#include "thaw/os/fd.h"

using namespace thaw;
using namespace thaw::net;
using Wire = Server::Traffic::Wire;

namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(char type, char flags, const std::string& payload) {
  std::string bytes = {0, 0, static_cast<char>(payload.size()), type, flags, 0, 0, 0, 0};
  return bytes + payload;
}

// A server on a Unix socket, and one peer that speaks bytes.
struct House {
  House()
      : server(loop, table, [](HttpExchange& e) { return e.answer(200, "text/plain", ""); }, {}) {
    char path[] = "/tmp/thaw-traffic-XXXXXX";
    folder = ::mkdtemp(path);
    REQUIRE(server.listen_unix(folder + "/s", "ta-1"));
  }
  ~House() {
    (void)loop.run_task(server.drain(monotonic_now()));
    std::filesystem::remove_all(folder);
  }

  void connect() {
    peer = os::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    std::strcpy(to.sun_path, (folder + "/s").c_str());
    REQUIRE(::connect(peer.get(), reinterpret_cast<sockaddr*>(&to), sizeof to) == 0);
  }
  void say(const std::string& bytes) {
    REQUIRE(::send(peer.get(), bytes.data(), bytes.size(), 0) ==
            static_cast<ssize_t>(bytes.size()));
  }
  // Lets the server work until the peer could read so many bytes; takes them.
  std::size_t hear(std::size_t wanted) {
    std::size_t got = 0;
    const Instant latest = monotonic_now() + 20s;
    while (got < wanted && monotonic_now() < latest) {
      (void)loop.run_task(async::sleep_for(1ms));
      char bytes[4096];
      const ssize_t n = ::recv(peer.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      got += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    return got;
  }
  Wire wire() const { return server.traffic("ta-1").wire; }

  async::Loop loop;
  GrpcTable table;
  Server server;
  std::string folder;
  os::Fd peer;
};

}  // namespace

TEST_CASE("a connection is quiet when neither side has sent what the other has not read") {
  House house;
  CHECK(house.wire() == Wire::quiet);
  house.connect();
  CHECK(house.wire() == Wire::in_flight);  // not even accepted
  house.say(std::string(preface) + frame(4, 0, ""));
  CHECK(house.hear(9 + 18 + 9) > 0);  // its SETTINGS, and the acknowledgement of ours
  house.say(frame(4, 1, ""));         // ours of its
  CHECK(house.wire() == Wire::in_flight);
  (void)house.hear(0);
  const Instant latest = monotonic_now() + 20s;
  while (house.wire() == Wire::in_flight && monotonic_now() < latest) {
    (void)house.loop.run_task(async::sleep_for(1ms));
    (void)house.hear(0);
    char rest[4096];
    (void)::recv(house.peer.get(), rest, sizeof rest, MSG_DONTWAIT);
  }
  CHECK(house.wire() == Wire::quiet);
  CHECK(house.server.traffic("ta-1").exchanges == 0);

  house.say(frame(6, 0, "12345678"));  // a PING that the server has not read
  CHECK(house.wire() == Wire::in_flight);
  (void)house.loop.run_task(async::sleep_for(20ms));
  CHECK(house.wire() == Wire::in_flight);  // its answer is not read by the peer
  CHECK(house.hear(17) == 17);
  CHECK(house.wire() == Wire::quiet);
  CHECK(house.server.traffic("ta-2").wire == Wire::quiet);
}

TEST_CASE("a connection counts from its first moment until its peer has closed it") {
  House house;
  CHECK(house.server.traffic("ta-1").connections == 0);
  house.connect();
  CHECK(house.server.traffic("ta-1").connections == 1);  // not even accepted
  house.say(std::string(preface) + frame(4, 0, ""));
  CHECK(house.hear(9) > 0);
  CHECK(house.server.traffic("ta-1").connections == 1);
  CHECK(house.server.traffic("ta-2").connections == 0);
  house.peer = os::Fd();
  const Instant latest = monotonic_now() + 20s;
  while (house.server.traffic("ta-1").connections > 0 && monotonic_now() < latest) {
    (void)house.loop.run_task(async::sleep_for(1ms));
  }
  CHECK(house.server.traffic("ta-1").connections == 0);
}

TEST_CASE("a connection that has not shown its protocol is in flight") {
  House house;
  house.connect();
  house.say("PRI * HT");
  (void)house.loop.run_task(async::sleep_for(5ms));
  CHECK(house.wire() == Wire::in_flight);
}
