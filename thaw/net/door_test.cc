// SPDX-License-Identifier: Apache-2.0
//
// Doors: listening sockets of somebody else's making, at which everybody is one container.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "thaw/async/event.h"
#include "thaw/net/server.h"
#include "thaw/os/fd.h"

using namespace thaw;
using namespace thaw::net;
using Wire = Server::Traffic::Wire;

namespace {

ServerLimits hasty() {
  ServerLimits limits;
  limits.header_timeout = 1ms;
  limits.http1_idle = 1ms;
  limits.connections_per_door = 2;
  return limits;
}

// A server with one door, and peers that speak bytes. "/parks" is answered when `opens` is
// notified.
struct House {
  explicit House(ServerLimits limits = hasty())
      : server(
            loop, table, [this](HttpExchange& exchange) { return serve(*this, exchange); },
            limits) {
    os::Fd listening(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listening.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listening.get(), 8) == 0);
    REQUIRE(::getsockname(listening.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    REQUIRE(server.listen_door(std::move(listening), "ta-1", {"container ta-1", "workspace ac-1"}));
  }
  ~House() { (void)loop.run_task(server.drain(monotonic_now())); }

  static async::Task<void> serve(House& house, HttpExchange& exchange) {
    const Peer& peer = exchange.request().peer;
    house.seen = peer;
    if (exchange.request().path() == "/parks") {
      ++house.parked;
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await house.opens.wait(Instant::max()));
    }
    if (exchange.request().path() == "/streams") {
      THAW_CO_TRY_VOID(co_await exchange.respond(200, {}));
      THAW_CO_TRY_VOID(co_await exchange.write("piece"));
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await house.opens.wait(Instant::max()));
      co_return co_await exchange.finish();
    }
    THAW_CO_TRY(const std::string body, co_await exchange.read_all(64u << 20));
    co_return co_await exchange.answer(200, "text/plain", "heard " + std::to_string(body.size()));
  }

  os::Fd connect() const {
    os::Fd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(peer.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
            0);
    return peer;
  }
  void works(Duration how_long = 5ms) { (void)loop.run_task(async::sleep_for(how_long)); }
  template <class F>
  bool until(F condition) {
    const Instant latest = monotonic_now() + 20s;
    while (!condition() && monotonic_now() < latest) {
      works(1ms);
    }
    return condition();
  }
  static void say(const os::Fd& peer, const std::string& bytes) {
    REQUIRE(::send(peer.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
  }
  // What it got up to that text; "(closed)" behind it if that never came.
  std::string hear(const os::Fd& peer, const std::string& last) {
    std::string got;
    bool is_closed = false;
    until([&] {
      char bytes[4096];
      const ssize_t n = ::recv(peer.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      got.append(bytes, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      is_closed = n == 0 || (n < 0 && errno != EAGAIN);
      return is_closed || got.find(last) != std::string::npos;
    });
    return is_closed ? got + "(closed)" : got;
  }
  bool is_quiet_with(std::size_t exchanges) {
    return until([&] {
      const auto traffic = server.traffic("ta-1");
      return traffic.wire == Wire::quiet && traffic.exchanges == exchanges;
    });
  }
  Wire wire() const { return server.traffic("ta-1").wire; }

  async::Loop loop;
  GrpcTable table;
  Server server;
  sockaddr_in address{};
  Peer seen;
  int parked = 0;
  async::Event opens;
};

std::string request(const std::string& path) {
  return "GET " + path + " HTTP/1.1\r\nhost: door\r\n\r\n";
}

}  // namespace

TEST_CASE("whoever comes by a door is its container, and has no address") {
  House house;
  const os::Fd peer = house.connect();
  House::say(peer, request("/"));
  CHECK(house.hear(peer, "heard 0").starts_with("HTTP/1.1 200"));
  CHECK(house.seen.transport == Peer::Transport::door);
  CHECK(house.seen.identity == "ta-1");
  CHECK(house.seen.address.empty());
}

TEST_CASE("a door speaks HTTP/1.1 and nothing else") {
  House house;
  const os::Fd peer = house.connect();
  House::say(peer, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  CHECK(house.hear(peer, "\r\n\r\n").starts_with("HTTP/1.1 4"));
}

TEST_CASE("a poll that waits for its answer is quiet, and what is on its way is not") {
  House house;
  CHECK(house.wire() == Wire::quiet);
  const os::Fd peer = house.connect();
  CHECK(house.wire() == Wire::in_flight);  // not even accepted
  CHECK(house.is_quiet_with(0));           // nothing was asked yet
  const std::string asked = request("/parks");
  House::say(peer, asked.substr(0, 20));
  house.works();
  CHECK(house.wire() == Wire::in_flight);  // half a request
  House::say(peer, asked.substr(20));
  CHECK(house.is_quiet_with(1));
  House::say(peer, "GET");  // the next one begins
  house.works();
  CHECK(house.wire() == Wire::in_flight);
  House::say(peer, request("/").substr(3));
  house.opens.notify_all();
  CHECK(house.hear(peer, "heard 0").find("200") != std::string::npos);
  CHECK(house.is_quiet_with(0));  // both are answered
}

TEST_CASE("a body that is not there, and an answer that has begun, are on their way") {
  House house;
  const os::Fd sends = house.connect();
  House::say(sends, "POST /parks HTTP/1.1\r\nhost: door\r\ncontent-length: 5\r\n\r\n");
  CHECK(house.until([&] { return house.parked == 1; }));
  CHECK(house.wire() == Wire::in_flight);
  house.opens.notify_all();
  House::say(sends, "hello");
  CHECK(house.hear(sends, "heard 5").find("200") != std::string::npos);
  CHECK(house.is_quiet_with(0));
  House::say(sends, request("/streams"));
  CHECK(house.hear(sends, "piece").find("200") != std::string::npos);
  house.works();
  CHECK(house.wire() == Wire::in_flight);
  CHECK(house.server.traffic("ta-1").exchanges == 1);
  house.opens.notify_all();
  CHECK(house.is_quiet_with(0));
}

TEST_CASE("no clock runs at a door, as whoever polls there may be frozen") {
  House house;
  const os::Fd silent = house.connect();
  house.works(50ms);
  House::say(silent, "GET / HTTP/1.1\r\n");
  house.works(50ms);  // half a head
  House::say(silent, "host: door\r\n\r\n");
  CHECK(house.hear(silent, "heard 0").find("200") != std::string::npos);
  house.works(50ms);  // between two requests
  House::say(silent, request("/"));
  CHECK(house.hear(silent, "heard 0").find("200") != std::string::npos);
}

TEST_CASE("a container has so many connections at its door: idle ones give way, others do not") {
  House house;
  const os::Fd first = house.connect();
  House::say(first, request("/parks"));
  CHECK(house.until([&] { return house.parked == 1; }));
  const os::Fd idle = house.connect();
  CHECK(house.is_quiet_with(1));
  const os::Fd second = house.connect();
  House::say(second, request("/parks"));
  CHECK(house.until([&] { return house.parked == 2; }));
  CHECK(house.hear(idle, "never").ends_with("(closed)"));
  const os::Fd third = house.connect();
  CHECK(house.hear(third, "never").ends_with("(closed)"));
  house.opens.notify_all();
  CHECK(house.hear(first, "heard 0").find("200") != std::string::npos);
  CHECK(house.hear(second, "heard 0").find("200") != std::string::npos);
}

TEST_CASE("bodies of one container are bounded together, and room comes back with their ends") {
  ServerLimits limits = hasty();
  limits.buffer_bytes = 4u << 20;  // a quarter is one container's
  House house(limits);
  const std::string half(600u << 10, 'x');
  const std::string head =
      "POST / HTTP/1.1\r\nhost: door\r\ncontent-length: " + std::to_string(half.size() + 1) +
      "\r\n\r\n";
  const auto send_all = [&](const os::Fd& peer, std::string bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(peer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) {
        return;  // it was answered already
      }
      bytes.erase(0, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
      house.works(1ms);
    }
  };
  const os::Fd first = house.connect();
  send_all(first, head + half);
  const os::Fd second = house.connect();
  send_all(second, head + half);
  CHECK(house.hear(second, "\r\n\r\n").starts_with("HTTP/1.1 429"));
  House::say(first, "y");
  CHECK(house.hear(first, "heard 614401").starts_with("HTTP/1.1 200"));
  const os::Fd third = house.connect();
  send_all(third, head + half + "y");
  CHECK(house.hear(third, "heard 614401").starts_with("HTTP/1.1 200"));
}

TEST_CASE("a door that is closed takes its connections along and leaves nothing") {
  House house;
  const os::Fd peer = house.connect();
  House::say(peer, request("/parks"));
  CHECK(house.until([&] { return house.parked == 1; }));
  house.server.close_identity("ta-1");
  CHECK(house.hear(peer, "never").ends_with("(closed)"));
  const auto refuses = [&] {
    const os::Fd late(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    return ::connect(late.get(), reinterpret_cast<const sockaddr*>(&house.address),
                     sizeof house.address) != 0;
  };
  CHECK(house.until(refuses));
  CHECK(house.server.traffic("ta-1").connections == 0);
  CHECK(house.server.stats().connections_open == 0);
}
