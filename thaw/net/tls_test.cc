// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/tls.h"

#include <cstring>

#include "thaw/net/tls_fixture_test.h"

using namespace thaw;
using namespace thaw::net;
using namespace thaw::net::testing;

namespace {

constexpr std::string_view question = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
const std::string h2_first("\x02h2\x08http/1.1", 12);

async::Task<void> tell_scheme(HttpExchange& exchange) {
  co_return co_await exchange.answer(200, "text/plain", exchange.request().scheme);
}

async::Task<void> echo(HttpExchange& exchange) {
  THAW_CO_TRY(std::string body, co_await exchange.read_all(100u << 20));
  co_return co_await exchange.answer(200, "text/plain", std::move(body));
}

async::Task<void> read_into(HttpExchange& exchange, Result<std::string>& out, bool& is_over) {
  out = co_await exchange.read_all(1u << 20);
  is_over = true;
  co_return ok();
}

struct House : TlsHouse {
  explicit House(HttpHandler handler = tell_scheme, ServerLimits limits = {})
      : TlsHouse(std::move(handler), limits) {
    files = certificates.make("own", {"localhost"});
    server.speak_tls(certificates.read({files}));
    authority = certificates.folder + "/ca.pem";
  }
  // What a plain client from there gets within its patience.
  std::string ask_plainly(const std::string& source = "127.0.0.1") {
    std::string got;
    beside([&] {
      const os::Fd peer = connect_from(source, port);
      ::send(peer.get(), question.data(), question.size(), MSG_NOSIGNAL);
      char bytes[4096];
      const ssize_t count = ::recv(peer.get(), bytes, sizeof bytes, 0);
      got.assign(bytes, count > 0 ? static_cast<std::size_t>(count) : 0);
    });
    return got;
  }
  std::string ask(const ClientWishes& wishes = {}) {
    std::string got;
    beside([&] {
      TlsClient client(port, authority, wishes);
      got = client.is_open && client.say(question) ? client.answer() : "no handshake";
    });
    return got;
  }

  TlsFiles files;
  std::string authority;
};

}  // namespace

TEST_CASE("one port speaks TLS and plain HTTP, and each request knows which it came by") {
  House house;
  CHECK(house.ask().ends_with("\r\n\r\nhttps"));
  CHECK(house.ask_plainly().ends_with("\r\n\r\nhttp"));
  CHECK(house.ask().ends_with("\r\n\r\nhttps"));
  CHECK(house.server.stats().handshakes_done == 2);
}

TEST_CASE("TLS 1.2 and 1.3 are spoken, and nothing older") {
  House house;
  CHECK(house.ask({.highest = TLS1_2_VERSION}).ends_with("https"));
  CHECK(house.ask({.lowest = TLS1_3_VERSION}).ends_with("https"));
  CHECK(house.ask({.lowest = TLS1_1_VERSION, .highest = TLS1_1_VERSION}) == "no handshake");
  CHECK(house.ask({.lowest = TLS1_VERSION, .highest = TLS1_VERSION}) == "no handshake");
  CHECK(house.server.stats().handshakes_failed == 2);
}

TEST_CASE("the protocol above TLS is h2 where the client has it, else HTTP/1.1") {
  House house;
  const auto chosen = [&](const std::string& offered) {
    std::string protocol;
    house.beside([&] {
      const TlsClient client(house.port, house.authority, {.protocols = offered});
      protocol = client.is_open ? client.protocol() : "no handshake";
    });
    return protocol;
  };
  CHECK(chosen(h2_first) == "h2");
  CHECK(chosen(std::string("\x08http/1.1\x02h2", 12)) == "h2");
  CHECK(chosen(std::string("\x08http/1.1", 9)) == "http/1.1");
  CHECK(chosen(std::string("\x06spdy/1", 7)) == "no handshake");
  CHECK(chosen("").empty());
}

TEST_CASE("HTTP/2 over TLS begins with the server's settings") {
  House house;
  std::string got;
  house.beside([&] {
    TlsClient client(house.port, house.authority, {.protocols = h2_first});
    const std::string settings("\0\0\0\x04\0\0\0\0\0", 9);
    client.say("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings);
    got = client.hear(9);
  });
  REQUIRE(got.size() == 9);
  CHECK(got[3] == 4);  // SETTINGS
}

TEST_CASE("a client is shown the certificate of the name that it asks for") {
  House house;
  const std::vector<TlsFiles> files = {
      house.files, house.certificates.make("wild", {"*.fn.test"}),
      house.certificates.make("exact", {"a.fn.test", "other.test"})};
  house.server.speak_tls(house.certificates.read(files));
  // Each client verifies the name.
  for (const char* name : {"localhost", "a.fn.test", "A.FN.test", "b.fn.test", "other.test"}) {
    CAPTURE(name);
    CHECK(house.ask({.name = name}).ends_with("https"));
  }
  CHECK(house.ask({.name = "a.b.fn.test"}) == "no handshake");  // a star is one part of a name
  CHECK(house.ask({.name = "fn.test"}) == "no handshake");
}

TEST_CASE("the names of the configuration win over the certificate's") {
  House house;
  TlsFiles renamed = house.certificates.make("renamed", {"inner.test"});
  renamed.names = {"Outer.test"};
  house.server.speak_tls(house.certificates.read({house.files, renamed}));
  CHECK(house.ask({.name = "inner.test"}) == "no handshake");  // it is shown that of localhost
}

TEST_CASE("after a reload new connections see the new certificate, and open ones go on") {
  House house;
  std::atomic<bool> is_open = false;
  std::atomic<bool> is_reloaded = false;
  std::string before;
  std::string after;
  std::thread old([&] {
    TlsClient client(house.port, house.authority, {});
    client.say(question);
    before = client.answer();
    is_open = true;
    while (!is_reloaded) {
      std::this_thread::yield();
    }
    client.say(question);
    after = client.answer();
    is_open = false;
  });
  CHECK(house.until([&] { return is_open.load(); }));
  house.server.speak_tls(house.certificates.read({house.certificates.make("next", {"next.test"})}));
  CHECK(house.ask({.name = "localhost"}) == "no handshake");
  CHECK(house.ask({.name = "next.test"}).ends_with("https"));
  is_reloaded = true;
  CHECK(house.until([&] { return !is_open.load(); }));
  old.join();
  CHECK(before.ends_with("https"));
  CHECK(after.ends_with("https"));
}

TEST_CASE("what begins like TLS and is none ends that connection and no other") {
  House house;
  for (const std::string& garbage :
       {std::string("\x16garbage that is no record"),
        std::string("\x16\x03\x01\xff\xff", 5) + std::string(70'000, 'x'),
        std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10), std::string(40'000, '\x16')}) {
    house.beside([&] {
      const os::Fd peer = connect_from("127.0.0.1", house.port);
      ::send(peer.get(), garbage.data(), garbage.size(), MSG_NOSIGNAL);
      char byte = 0;
      do {  // an alert, then the end
        errno = 0;
      } while (::recv(peer.get(), &byte, 1, 0) > 0);
      CHECK((errno != EAGAIN && errno != EWOULDBLOCK));
    });
    CHECK(house.ask().ends_with("https"));
  }
  CHECK(house.server.stats().handshakes_failed == 4);
}

TEST_CASE("who changes keys without end is broken off, and others are served") {
  House house;
  bool is_broken_off = false;
  house.beside([&] {
    TlsClient client(house.port, house.authority, {.lowest = TLS1_3_VERSION});
    for (int i = 0; i < 100'000 && !is_broken_off; ++i) {
      is_broken_off = !client.change_key();
    }
    is_broken_off = is_broken_off || !client.say(question) || client.answer().empty();
  });
  CHECK(is_broken_off);
  CHECK(house.ask().ends_with("https"));
}

TEST_CASE("without certificates TLS is answered in plain words") {
  TlsHouse house(tell_scheme);
  std::string got;
  house.beside([&] {
    const os::Fd peer = connect_from("127.0.0.1", house.port);
    ::send(peer.get(), "\x16\x03\x01\r\n\r\n", 7, MSG_NOSIGNAL);
    char bytes[4096];
    const ssize_t count = ::recv(peer.get(), bytes, sizeof bytes, 0);
    got.assign(bytes, count > 0 ? static_cast<std::size_t>(count) : 0);
  });
  CHECK(got.starts_with("HTTP/1.1 400 "));
}

TEST_CASE("a handshake that stops is over after its time, and holds nobody up meanwhile") {
  ServerLimits limits;
  limits.handshake_timeout = 300ms;
  House house(tell_scheme, limits);
  const os::Fd silent = connect_from("127.0.0.1", house.port);
  const std::string begun("\x16\x03\x01\x02\x00\x01", 6);
  ::send(silent.get(), begun.data(), begun.size(), MSG_NOSIGNAL);
  CHECK(house.until([&] { return house.server.stats().handshakes_open == 1; }));
  CHECK(house.ask().ends_with("https"));
  CHECK(house.until([&] { return house.server.stats().handshakes_failed == 1; }));
  char byte = 0;
  CHECK(::recv(silent.get(), &byte, 1, 0) <= 0);
}

TEST_CASE("a thousand handshakes that nobody finishes take one address's share, and no more") {
  ServerLimits limits;
  limits.handshakes = 48;
  limits.handshakes_per_address = 16;
  limits.handshake_timeout = 60s;
  limits.header_timeout = 60s;
  House house(tell_scheme, limits);
  const std::string begun("\x16\x03\x01\x02\x00\x01", 6);
  std::vector<os::Fd> silent;
  const auto begin = [&](const std::string& source, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      silent.push_back(connect_from(source, house.port));
      ::send(silent.back().get(), begun.data(), begun.size(), MSG_NOSIGNAL);
      if (i % 50 == 49) {
        (void)house.loop.run_task(async::sleep_for(1ms));
      }
    }
  };
  begin("127.0.0.1", 400);
  CHECK(house.until([&] {
    return house.server.stats().connections_open == 400 &&
           house.server.stats().handshakes_open == 16;
  }));
  // Another address is served at once, and plain requests of that one too.
  CHECK(house.ask({.source = "127.0.0.2"}).ends_with("https"));
  CHECK(house.ask_plainly().ends_with("http"));
  // From several addresses they take all places; who has most gives way to who comes.
  begin("127.0.0.3", 300);
  begin("127.0.0.4", 300);
  CHECK(house.until([&] { return house.server.stats().handshakes_open == 48; }));
  CHECK(house.ask({.source = "127.0.0.2"}).ends_with("https"));
  CHECK(house.server.stats().handshakes_open <= 48);
  // When they go, nothing is left.
  silent.clear();
  CHECK(house.until([&] { return house.server.stats().handshakes_open == 0; }));
  CHECK(house.until([&] { return house.server.stats().connections_open == 0; }));
  CHECK(house.ask().ends_with("https"));
}

TEST_CASE("many who mean it at once are all served, though an address has few places") {
  ServerLimits limits;
  limits.handshakes_per_address = 2;
  House house(tell_scheme, limits);
  std::atomic<int> served = 0;
  house.beside([&] {
    std::vector<std::thread> all;
    for (int i = 0; i < 40; ++i) {
      all.emplace_back([&] {
        TlsClient client(house.port, house.authority, {});
        served += client.is_open && client.say(question) && client.answer().ends_with("https");
      });
    }
    for (std::thread& one : all) {
      one.join();
    }
  });
  CHECK(served == 40);
}

TEST_CASE("large bodies go both ways over TLS, unchanged") {
  House house(echo);
  std::string body(8u << 20, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) {
    body[i] = static_cast<char>(i * 2654435761u >> 13);
  }
  std::string got;
  house.beside([&] {
    TlsClient client(house.port, house.authority, {});
    client.say("POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: " +
               std::to_string(body.size()) + "\r\n\r\n" + body);
    got = client.answer();
  });
  REQUIRE(got.size() > body.size());
  CHECK(std::string_view(got).substr(got.size() - body.size()) == body);
}

TEST_CASE("who has said that it sends no more is still answered, and told of the end") {
  House house(echo);
  std::string got;
  bool was_told = false;
  house.beside([&] {
    TlsClient client(house.port, house.authority, {});
    client.say(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        "content-length: 5\r\n\r\nhello");
    client.finish();
    got = client.answer();
    was_told = client.was_told_of_the_end();
  });
  CHECK(got.ends_with("\r\n\r\nhello"));
  CHECK(was_told);
}

TEST_CASE("a body that is cut off without TLS's farewell is no whole body") {
  Result<std::string> seen = std::string();
  bool is_over = false;
  House house([&](HttpExchange& exchange) { return read_into(exchange, seen, is_over); });
  house.beside([&] {
    TlsClient client(house.port, house.authority, {});
    client.say(
        "POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
        "5\r\nhello\r\n");
    ::shutdown(client.descriptor(), SHUT_WR);
  });
  CHECK(house.until([&] { return is_over; }));
  CHECK_FALSE(seen);
}

TEST_CASE("a certificate that cannot be used is refused with its file's name") {
  Certificates all;
  const TlsFiles good = all.make("good", {"localhost"});
  const TlsFiles other = all.make("other", {"localhost"});
  const auto refused = [&](const TlsFiles& files) {
    const auto read = TlsIdentities::read({good, files}, wall_now());
    return read ? std::string("read") : read.error().message();
  };
  const auto names = [](const std::string& sentence, const std::string& path) {
    return sentence.find(path) != std::string::npos;
  };
  all.write("damaged.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
  all.write("empty.pem", "");
  all.write("damaged.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  CHECK(names(refused({all.folder + "/none.pem", good.key, {}}), "none.pem"));
  CHECK(names(refused({good.certificate, all.folder + "/none.key", {}}), "none.key"));
  CHECK(names(refused({all.folder, good.key, {}}), all.folder));
  CHECK(names(refused({all.folder + "/damaged.pem", good.key, {}}), "damaged.pem"));
  CHECK(names(refused({all.folder + "/empty.pem", good.key, {}}), "empty.pem"));
  CHECK(names(refused({good.certificate, all.folder + "/damaged.key", {}}), "damaged.key"));
  CHECK(names(refused({good.certificate, other.key, {}}), other.key));
  const Validity past{wall_now() - 48h, wall_now() - 24h};
  const std::string expired = refused(all.make("expired", {"localhost"}, past));
  CHECK(names(expired, "expired.pem"));
  CHECK(names(expired, "thaw tls renew"));
  const Validity future{wall_now() + 24h, wall_now() + 48h};
  CHECK(names(refused(all.make("early", {"localhost"}, future)), "early.pem"));
  CHECK_FALSE(TlsIdentities::read({}, wall_now()));
  CHECK(refused(other) == "read");
}

TEST_CASE("an own authority signs certificates for hosts, wildcards and addresses") {
  const auto authority = make_authority("an authority", a_day());
  REQUIRE(authority);
  const std::vector<std::string> names = {"localhost", "*.localhost", "127.0.0.1", "::1"};
  const auto made = make_server_certificate(*authority, names, a_day());
  REQUIRE(made);
  const auto facts = facts_of_certificate(made->certificate);
  REQUIRE(facts);
  CHECK(facts->names == names);
  CHECK(facts->validity.until > wall_now());
  for (const char* bad : {"", "a b", "a,DNS:b", "*.", "a\nb", ".a", "a..b", "*.*.a"}) {
    CAPTURE(bad);
    CHECK_FALSE(make_server_certificate(*authority, {bad}, a_day()));
  }
  CHECK_FALSE(make_server_certificate(*authority, {}, a_day()));
  const auto stranger = make_authority("another", a_day());
  REQUIRE(stranger);
  CHECK_FALSE(make_server_certificate({authority->certificate, stranger->key}, names, a_day()));
  CHECK_FALSE(make_server_certificate({"no pem", authority->key}, names, a_day()));
}
