// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/port_relay.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "thaw/async/loop.h"
#include "thaw/net/tls_fixture_test.h"

using namespace thaw;
using namespace thaw::net;

namespace {

os::Fd connect_to(std::uint16_t port) {
  os::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  REQUIRE(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

std::string read_all(int fd) {
  std::string text;
  char piece[4096];
  for (ssize_t got = 0; (got = ::recv(fd, piece, sizeof piece, 0)) > 0;) {
    text.append(piece, static_cast<std::size_t>(got));
  }
  return text;
}

// Says back what it is told once it was told all of it, to one peer after the other.
struct Echo {
  os::Fd listener;
  std::uint16_t port = 0;
  std::thread thread;

  Echo() {
    listener = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener.get(), 16) == 0);
    REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    thread = std::thread([this] {
      while (true) {
        const os::Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer.valid()) {
          return;
        }
        const std::string text = read_all(peer.get());
        for (std::size_t sent = 0; sent < text.size();) {
          const ssize_t some =
              ::send(peer.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
          if (some <= 0) {
            break;
          }
          sent += static_cast<std::size_t>(some);
        }
      }
    });
  }
  ~Echo() {
    ::shutdown(listener.get(), SHUT_RDWR);
    thread.join();
  }
};

// A relay whose loop runs beside what `asks` does.
template <class F>
void beside(RelayLimits limits, std::uint16_t to, F asks, PortRelay::Identities identities = {}) {
  async::Loop loop;
  auto opened = PortRelay::open(loop, "127.0.0.1", limits);
  REQUIRE(opened);
  PortRelay& relay = **opened;
  const auto find = [to](const std::string& peer) -> Result<PortRelay::Target> {
    CHECK(peer.starts_with("127.0.0.1:"));
    if (to == 0) {
      return Error::not_found("it has ended");
    }
    return PortRelay::Target{"127.0.0.1", to};
  };
  relay.start(find, std::move(identities));
  std::atomic<bool> is_done = false;
  std::thread asker([&] {
    asks(relay.port());
    is_done = true;
  });
  const auto body = [](std::atomic<bool>& done, PortRelay& of) -> async::Task<void> {
    while (!done) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(5ms));
    }
    // What has ended is not counted any more.
    for (int i = 0; i < 1'000 && of.connections() > 0; ++i) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(5ms));
    }
    CHECK(of.connections() == 0);
    co_return co_await of.stop();
  };
  CHECK(loop.run_task(body(is_done, relay)));
  asker.join();
}

}  // namespace

TEST_CASE("bytes go through a relay both ways, whole, and each end hears of the other's end") {
  const Echo echo;
  beside({}, echo.port, [](std::uint16_t port) {
    const std::string large(3u << 20, 'x');
    for (const std::string& text : {std::string("a word"), large, std::string()}) {
      const os::Fd peer = connect_to(port);
      std::thread sender([&] {
        for (std::size_t sent = 0; sent < text.size();) {
          const ssize_t some =
              ::send(peer.get(), text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
          REQUIRE(some > 0);
          sent += static_cast<std::size_t>(some);
        }
        ::shutdown(peer.get(), SHUT_WR);
      });
      const std::string back = read_all(peer.get());
      sender.join();
      CHECK(back.size() == text.size());
      CHECK((back == text));
    }
  });
}

TEST_CASE("a relay has so many connections and no more, and one that is silent ends") {
  const Echo echo;
  RelayLimits limits;
  limits.connections = 2;
  limits.idle = 300ms;
  beside(limits, echo.port, [](std::uint16_t port) {
    const os::Fd first = connect_to(port);
    const os::Fd second = connect_to(port);
    // Both are relayed by now, or the third could take their place.
    REQUIRE(::send(first.get(), "x", 1, MSG_NOSIGNAL) == 1);
    REQUIRE(::send(second.get(), "x", 1, MSG_NOSIGNAL) == 1);
    const os::Fd third = connect_to(port);
    CHECK(read_all(third.get()).empty());
    CHECK(read_all(first.get()).empty());
    CHECK(read_all(second.get()).empty());
  });
}

TEST_CASE("where nobody listens a relayed connection ends at once") {
  std::uint16_t nobody = 0;
  {
    const Echo gone;
    nobody = gone.port;
  }
  beside({}, nobody, [](std::uint16_t port) {
    const os::Fd peer = connect_to(port);
    CHECK(read_all(peer.get()).empty());
  });
}

TEST_CASE("who connects when its target has ended is connected to nobody") {
  beside({}, 0, [](std::uint16_t port) {
    const os::Fd peer = connect_to(port);
    CHECK(read_all(peer.get()).empty());
  });
}

TEST_CASE("a relay that speaks TLS decrypts, and who does not speak it reaches nobody") {
  const testing::Certificates certificates;
  const auto shown = certificates.read({certificates.make("server", {"localhost"})});
  const std::string authority = certificates.folder + "/ca.pem";
  const Echo echo;
  RelayLimits limits;
  limits.connect = 2s;
  const auto asks = [&](std::uint16_t port) {
    const std::string large(3u << 20, 'x');
    for (const std::string& text : {std::string("a word"), large}) {
      testing::TlsClient client(port, authority, {.protocols = "\x02h2\x08http/1.1"});
      REQUIRE(client.is_open);
      CHECK(client.protocol().empty());  // who is inside speaks what it speaks
      REQUIRE(client.say(text));
      client.finish();  // the server inside hears of the end, and answers
      CHECK((client.hear(text.size() + 1) == text));
    }
    const os::Fd plain = connect_to(port);
    REQUIRE(::send(plain.get(), "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) == 18);
    CHECK(read_all(plain.get()).find("GET") == std::string::npos);
    const os::Fd silent = connect_to(port);
    CHECK(read_all(silent.get()).empty());  // its time for a handshake is over
    // One that is cut off is no end: the server inside is cut off, too.
    testing::TlsClient cut(port, authority, {});
    REQUIRE(cut.is_open);
  };
  beside(limits, echo.port, asks, [&shown] { return shown; });
  // Without a certificate nobody is served.
  const auto refused = [](std::uint16_t port) {
    const os::Fd peer = connect_to(port);
    CHECK(read_all(peer.get()).empty());
  };
  beside(limits, echo.port, refused, [] { return nullptr; });
}

TEST_CASE("a socket that listens already is relayed to where somebody looks up") {
  Echo echo;
  async::Loop loop;
  os::Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(listener.get(), 16) == 0);
  REQUIRE(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const auto relay = PortRelay::of(loop, std::move(listener));
  const auto look_up = [](std::uint16_t port) -> async::Task<PortRelay::Target> {
    co_return PortRelay::Target{"127.0.0.1", port};
  };
  relay->start(PortRelay::LookUpTarget([look_up, port = echo.port] { return look_up(port); }));
  std::atomic<bool> is_done = false;
  std::thread asker([&] {
    const os::Fd peer = connect_to(ntohs(address.sin_port));
    REQUIRE(::send(peer.get(), "hello", 5, 0) == 5);
    ::shutdown(peer.get(), SHUT_WR);
    CHECK(read_all(peer.get()) == "hello");
    is_done = true;
  });
  const auto body = [](std::atomic<bool>& done, PortRelay& of) -> async::Task<void> {
    while (!done) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(5ms));
    }
    co_return co_await of.stop();
  };
  CHECK(loop.run_task(body(is_done, *relay)));
  asker.join();
}
