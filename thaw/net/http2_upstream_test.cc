// SPDX-License-Identifier: Apache-2.0
// Requests and exchanges to servers that speak HTTP/2 without TLS: real ones, and ones that do what
// no library would.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/net/http_client.h"
#include "thaw/net/server.h"
#include "thaw/os/fd.h"

using namespace thaw;
using namespace thaw::net;

namespace {

enum Frame : char {
  data = 0,
  headers = 1,
  reset = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  continuation = 9
};
constexpr char end_stream = 1;
constexpr char end_headers = 4;

std::string number(std::uint32_t value) {
  return {static_cast<char>(value >> 24), static_cast<char>(value >> 16),
          static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string frame(Frame type, char flags, std::uint32_t stream, const std::string& payload) {
  return number(static_cast<std::uint32_t>(payload.size())).substr(1) + std::string{type, flags} +
         number(stream) + payload;
}

// A header as HPACK has it that is in no table; of less than 127 bytes each.
std::string literal(const std::string& name, const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}
const std::string status_200 = "\x88";
const std::string hello = frame(settings, 0, 0, "");

// A server of bytes: each connection runs the next script, on a thread of its own.
class Fake {
 public:
  using Script = std::function<void(Fake&)>;
  explicit Fake(std::vector<Script> scripts) : scripts_(std::move(scripts)) {
    listener_ = os::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof own;
    REQUIRE(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&own), size) == 0);
    REQUIRE(::listen(listener_.get(), 8) == 0);
    REQUIRE(::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&own), &size) == 0);
    port_ = ntohs(own.sin_port);
    thread_ = std::thread([this] {
      for (const Script& script : scripts_) {
        peer_ = os::Fd(::accept(listener_.get(), nullptr, nullptr));
        if (peer_.get() < 0) {
          return;
        }
        ++connections;
        script(*this);
        peer_ = os::Fd();
      }
    });
  }
  ~Fake() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }

  void say(const std::string& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(peer_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) {
        return;
      }
      sent += static_cast<std::size_t>(n);
    }
  }
  // Reads until the client has sent a HEADERS frame; its stream, or 0 at the end.
  std::uint32_t await_request() {
    constexpr std::size_t preface_bytes = 24;
    while (!greeted_) {
      if (input_.size() >= preface_bytes) {
        greeted_ = true;
        input_.erase(0, preface_bytes);
      } else if (!more()) {
        return 0;
      }
    }
    const auto byte = [this](std::size_t i) {
      return static_cast<std::uint32_t>(static_cast<unsigned char>(input_[i]));
    };
    constexpr std::size_t head_bytes = 9;
    while (true) {
      const std::size_t size =
          input_.size() < head_bytes ? 0 : byte(0) << 16 | byte(1) << 8 | byte(2);
      if (input_.size() < head_bytes || input_.size() < head_bytes + size) {
        if (!more()) {
          return 0;
        }
        continue;
      }
      const std::uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
      const bool is_head = byte(3) == headers;
      input_.erase(0, head_bytes + size);
      if (is_head) {
        return stream;
      }
    }
  }
  // Reads until the client has gone.
  void await_end() {
    while (more()) {
      input_.clear();
    }
  }
  void next_connection() {
    greeted_ = false;
    input_.clear();
  }

  Endpoint endpoint() const { return {"127.0.0.1", port_, "", Endpoint::Wire::h2c}; }
  std::atomic<int> connections = 0;

 private:
  bool more() {
    char bytes[16384];
    const ssize_t n = ::recv(peer_.get(), bytes, sizeof bytes, 0);
    input_.append(bytes, n > 0 ? static_cast<std::size_t>(n) : 0);
    return n > 0;
  }

  std::vector<Script> scripts_;
  os::Fd listener_;
  os::Fd peer_;
  std::uint16_t port_ = 0;
  std::string input_;
  bool greeted_ = false;
  std::thread thread_;
};

struct Got {
  int status = 0;
  Headers headers;
  Headers trailers;
  std::string body;
};

async::Task<Got> fetch(HttpClient& client, Endpoint endpoint, ClientRequest request,
                       Instant deadline) {
  THAW_CO_TRY(const auto response,
              co_await client.send(std::move(endpoint), std::move(request), deadline));
  Got got;
  got.status = response->status;
  got.headers = response->headers;
  THAW_CO_TRY(got.body, co_await response->read_all(64u << 20));
  got.trailers = response->trailers;
  co_return got;
}

Result<Got> get(const Fake& fake, Duration limit = 20s) {
  async::Loop loop;
  HttpClient client(loop);
  return loop.run_task(fetch(client, fake.endpoint(), {}, monotonic_now() + limit));
}

Fake::Script answers(const std::string& body) {
  return [body](Fake& fake) {
    fake.next_connection();
    fake.say(hello);
    while (const std::uint32_t stream = fake.await_request()) {
      fake.say(frame(headers, end_headers, stream, status_200) +
               frame(data, end_stream, stream, body));
    }
  };
}

// A request that finds this has no answer.
std::string told_by(Fake::Script script) {
  Fake fake({std::move(script)});
  const Result<Got> got = get(fake);
  REQUIRE_FALSE(got);
  CHECK(got.error().code() == Code::unavailable);
  return got.error().message();
}

bool contains(const std::string& text, std::string_view part) {
  CAPTURE(text);
  return text.find(part) != std::string::npos;
}

async::Task<void> echo(HttpExchange& exchange) {
  Headers none;
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(none)));
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      break;
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(*piece)));
  }
  Headers behind;
  behind.add("x-behind", "the body");
  exchange.set_trailers(std::move(behind));
  co_return co_await exchange.finish();
}

async::Task<void> serve(int& gone, HttpExchange& exchange) {
  if (exchange.request().target == "/echo") {
    co_return co_await echo(exchange);
  }
  if (exchange.request().target == "/hangs") {
    const Result<void> left = co_await exchange.until_gone();
    ++gone;
    co_return left;
  }
  if (exchange.request().target == "/trailers-only") {
    Headers all;
    all.add("content-type", "application/grpc");
    all.add("grpc-status", "5");
    co_return co_await exchange.respond_whole(200, std::move(all), "");
  }
  const auto te = exchange.request().headers.find("te");
  co_return co_await exchange.answer(200, "text/plain",
                                     exchange.request().method + " " + exchange.request().version +
                                         " " + exchange.request().authority +
                                         " te=" + std::string(te.value_or("")));
}

// A server of HTTP/2, and one in front of it that leads there.
struct House {
  House() {
    const auto opened = back.listen_tcp("127.0.0.1", 0);
    REQUIRE(opened);
    inside = {"127.0.0.1", *opened, "", Endpoint::Wire::h2c};
    const auto front_port = front.listen_tcp("127.0.0.1", 0);
    REQUIRE(front_port);
    by_http1 = {"127.0.0.1", *front_port, ""};
    by_http2 = {"127.0.0.1", *front_port, "", Endpoint::Wire::h2c};
  }
  ~House() {
    (void)loop.run_task(front.drain(monotonic_now()));
    (void)loop.run_task(back.drain(monotonic_now()));
  }
  Result<Got> ask(const Endpoint& endpoint, ClientRequest request) {
    return loop.run_task(fetch(client, endpoint, std::move(request), monotonic_now() + 60s));
  }

  int gone = 0;
  async::Loop loop;
  GrpcTable table;
  HttpClient client{loop};
  HttpClient upstream{loop};
  Endpoint inside;
  Endpoint by_http1;
  Endpoint by_http2;
  Server back{loop, table, [this](HttpExchange& e) { return serve(gone, e); }, {}};
  Server front{loop,
               table,
               [this](HttpExchange& e) { return upstream.proxy(e, inside, ProxyOptions()); },
               {}};
};

ClientRequest post(std::string target, std::string body) {
  ClientRequest request;
  request.method = "POST";
  request.target = std::move(target);
  request.body = std::move(body);
  return request;
}

}  // namespace

TEST_CASE("a request to a server of HTTP/2 is answered by it") {
  House house;
  const auto got = house.ask(house.inside, {});
  REQUIRE(got);
  CHECK(got->status == 200);
  CHECK(got->body == "GET 2 localhost te=");
  // What is longer than all windows, while the server sends it back.
  const std::string large(6u << 20, 'x');
  const auto echoed = house.ask(house.inside, post("/echo", large));
  REQUIRE(echoed);
  CHECK((echoed->body == large));
  CHECK(echoed->trailers.find("x-behind") == "the body");
}

TEST_CASE("an exchange of either wire is carried to a server of HTTP/2") {
  House house;
  for (const Endpoint& endpoint : {house.by_http1, house.by_http2}) {
    ClientRequest request;
    request.authority = "label.example";
    request.headers.add("te", "trailers");
    auto got = house.ask(endpoint, std::move(request));
    REQUIRE(got);
    const bool is_http2 = endpoint.wire == Endpoint::Wire::h2c;
    CHECK(got->body == (is_http2 ? "GET 2 label.example te=trailers" : "GET 2 label.example te="));
    const std::string large(6u << 20, 'y');
    got = house.ask(endpoint, post("/echo", large));
    REQUIRE(got);
    CHECK((got->body == large));
    got = house.ask(endpoint, post("/echo", ""));
    REQUIRE(got);
    CHECK(got->body.empty());
    got = house.ask(endpoint, post("/trailers-only", "x"));
    REQUIRE(got);
    CHECK(got->headers.find("grpc-status") == "5");
    ClientRequest head;
    head.method = "HEAD";
    got = house.ask(endpoint, std::move(head));
    REQUIRE(got);
    CHECK(got->status == 200);
    CHECK(got->body.empty());
  }
  const auto got = house.ask(house.by_http2, post("/echo", "x"));
  REQUIRE(got);
  CHECK(got->trailers.find("x-behind") == "the body");
}

TEST_CASE("many requests share a connection, and none waits for another's reader") {
  House house;
  std::vector<std::string> bodies;
  const auto ask = [](House& at, std::vector<std::string>& out) -> async::Task<void> {
    THAW_CO_TRY(Got got,
                co_await fetch(at.client, at.by_http2, post("/echo", std::string(100'000, 'z')),
                               monotonic_now() + 60s));
    out.push_back(std::move(got.body));
    co_return ok();
  };
  const auto all = [&ask](House& at, std::vector<std::string>& out) -> async::Task<void> {
    async::TaskGroup group(at.loop);
    for (int i = 0; i < 100; ++i) {
      group.start("ask", ask(at, out));
    }
    THAW_CO_TRY([[maybe_unused]] const bool ended, co_await group.join(monotonic_now() + 60s));
    co_return ok();
  };
  REQUIRE(house.loop.run_task(all(house, bodies)));
  CHECK(bodies.size() == 100);
  for (const std::string& body : bodies) {
    CHECK(body.size() == 100'000);
  }
  CHECK(house.back.stats().connections_open <= 2);
}

TEST_CASE("who leaves is gone for the server inside too") {
  House house;
  const auto leaves = [](House& at, Endpoint endpoint) -> async::Task<void> {
    ClientRequest request;
    request.target = "/hangs";
    const auto got = co_await at.client.send(endpoint, std::move(request), monotonic_now() + 300ms);
    CHECK_FALSE(got);
    for (int i = 0; i < 500 && at.gone == 0; ++i) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(10ms));
    }
    co_return ok();
  };
  for (const Endpoint& endpoint : {house.inside, house.by_http1, house.by_http2}) {
    house.gone = 0;
    REQUIRE(house.loop.run_task(leaves(house, endpoint)));
    CHECK(house.gone == 1);
  }
}

TEST_CASE("trailers of the server come behind the body") {
  Fake fake({[](Fake& at) {
    at.say(hello);
    const std::uint32_t stream = at.await_request();
    at.say(frame(headers, end_headers, stream, status_200) + frame(data, 0, stream, "body") +
           frame(headers, end_headers | end_stream, stream,
                 literal("grpc-status", "0") + literal("x-sum", "1")));
    at.await_end();
  }});
  const auto got = get(fake);
  REQUIRE(got);
  CHECK(got->body == "body");
  CHECK(got->trailers.find("grpc-status") == "0");
}

TEST_CASE("a request that the server refused unseen is sent again") {
  SUBCASE("by a reset of its stream") {
    Fake fake({[](Fake& at) {
      at.say(hello);
      at.say(frame(reset, 0, at.await_request(), number(7)));
      const std::uint32_t stream = at.await_request();
      at.say(frame(headers, end_headers | end_stream, stream, status_200));
      at.await_end();
    }});
    CHECK(get(fake));
    CHECK(fake.connections == 1);
  }
  SUBCASE("by its farewell") {
    Fake fake({[](Fake& at) {
                 at.say(hello);
                 (void)at.await_request();
                 at.say(frame(goaway, 0, 0, number(0) + number(0)));
               },
               answers("by another")});
    const auto got = get(fake);
    REQUIRE(got);
    CHECK(got->body == "by another");
  }
}

TEST_CASE("a kept connection that its server has closed is not used") {
  async::Loop loop;
  HttpClient client(loop);
  Fake fake({[](Fake& at) {
               at.say(hello);
               const std::uint32_t stream = at.await_request();
               at.say(frame(headers, end_headers | end_stream, stream, status_200));
             },
             answers("second")});
  const auto twice = [](HttpClient& at, Endpoint endpoint) -> async::Task<std::string> {
    THAW_CO_TRY_VOID(co_await fetch(at, endpoint, {}, monotonic_now() + 20s));
    THAW_CO_TRY_VOID(co_await async::sleep_for(50ms));
    ClientRequest request = post("/", "not to be sent twice");
    THAW_CO_TRY(Got got, co_await fetch(at, endpoint, std::move(request), monotonic_now() + 20s));
    co_return got.body;
  };
  const auto got = loop.run_task(twice(client, fake.endpoint()));
  REQUIRE(got);
  CHECK(*got == "second");
  client.forget(fake.endpoint());
}

TEST_CASE("a server that breaks the rules costs one connection") {
  const auto after_request = [](std::function<std::string(std::uint32_t)> what) {
    return [what = std::move(what)](Fake& at) {
      at.say(hello);
      const std::uint32_t stream = at.await_request();
      at.say(what(stream));
      at.await_end();
    };
  };
  const auto repeated = [](const std::string& bytes, int times) {
    std::string all;
    for (int i = 0; i < times; ++i) {
      all += bytes;
    }
    return all;
  };
  SUBCASE("it speaks HTTP/1.1") {
    CHECK(contains(told_by([](Fake& at) {
                     at.say("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
                     at.await_end();
                   }),
                   "answers by HTTP/1, not by HTTP/2"));
  }
  SUBCASE("it says what is no protocol that is known here") {
    CHECK(contains(told_by([](Fake& at) {
                     at.say("220 mail.example ESMTP\r\n");
                     at.await_end();
                   }),
                   "answers by something that is not HTTP/2"));
  }
  SUBCASE("it closes without a word") {
    CHECK(contains(told_by([](Fake&) {}), "closed"));
  }
  SUBCASE("a head without end") {
    CHECK(contains(told_by(after_request([&](std::uint32_t stream) {
                     return frame(headers, 0, stream, status_200) +
                            repeated(frame(continuation, 0, stream, ""), 5'000);
                   })),
                   "server"));
  }
  SUBCASE("a head that is too large") {
    const std::string field = literal("x-bomb", std::string(120, 'b'));
    CHECK(contains(told_by(after_request([&](std::uint32_t stream) {
                     return frame(headers, 0, stream, status_200 + repeated(field, 100)) +
                            repeated(frame(continuation, 0, stream, repeated(field, 120)), 9) +
                            frame(continuation, end_headers, stream, repeated(field, 120));
                   })),
                   "server"));
  }
  SUBCASE("a head that unpacks to far more than was sent") {
    // Once into the table, and then by its number there.
    const std::string entered =
        std::string("\x40\x06x-bomb\x7f\x81\x1e", 11) + std::string(4'000, 'b');
    CHECK(contains(told_by(after_request([&](std::uint32_t stream) {
                     return frame(headers, end_headers, stream,
                                  status_200 + entered + std::string(10'000, '\xbe'));
                   })),
                   "server"));
  }
  SUBCASE("a flood of settings") {
    CHECK(contains(told_by([&](Fake& at) {
                     at.say(repeated(hello, 20'000));
                     at.await_end();
                   }),
                   "server"));
  }
  SUBCASE("a flood of pings") {
    CHECK(contains(told_by([&](Fake& at) {
                     at.say(hello + repeated(frame(ping, 0, 0, "12345678"), 20'000));
                     at.await_end();
                   }),
                   "server"));
  }
  SUBCASE("a flood of empty pieces") {
    // The head has come, so that it is the body that fails.
    Fake fake({after_request([&](std::uint32_t stream) {
      return frame(headers, end_headers, stream, status_200) +
             repeated(frame(data, 0, stream, ""), 20'000);
    })});
    const auto got = get(fake);
    REQUIRE_FALSE(got);
    CHECK(contains(got.error().message(), "frames that carry nothing"));
  }
  SUBCASE("a flood of interim answers") {
    const std::string interim = literal(":status", "103");
    CHECK(contains(told_by(after_request([&](std::uint32_t stream) {
                     return repeated(frame(headers, end_headers, stream, interim), 20'000);
                   })),
                   "frames that carry nothing"));
  }
  SUBCASE("a push that was not asked for") {
    CHECK(contains(told_by(after_request([&](std::uint32_t stream) {
                     return frame(push_promise, end_headers, stream, number(2) + status_200);
                   })),
                   "pushed an answer that nobody asked for"));
  }
  SUBCASE("a body that is shorter than its length") {
    Fake fake({after_request([](std::uint32_t stream) {
      return frame(headers, end_headers, stream, status_200 + literal("content-length", "10")) +
             frame(data, end_stream, stream, "short");
    })});
    CHECK_FALSE(get(fake));
  }
  SUBCASE("an answer that is broken off") {
    Fake fake({after_request([](std::uint32_t stream) {
      return frame(headers, end_headers, stream, status_200) + frame(data, 0, stream, "some") +
             frame(reset, 0, stream, number(8));
    })});
    const auto got = get(fake);
    REQUIRE_FALSE(got);
    CHECK(contains(got.error().message(), "CANCEL"));
  }
}

TEST_CASE("a server that says nothing is waited for until the deadline") {
  for (const std::string& first : {std::string(), hello}) {
    Fake fake({[first](Fake& at) {
      at.say(first);
      at.await_end();
    }});
    const auto got = get(fake, 200ms);
    REQUIRE_FALSE(got);
    CHECK(got.error().code() == Code::deadline_exceeded);
  }
}

TEST_CASE("who only looks whether a server of HTTP/2 is there is told what it does instead") {
  async::Loop loop;
  HttpClient client(loop);
  const auto look = [&](const Fake& fake) {
    return loop.run_task(client.greets(fake.endpoint(), monotonic_now() + 300ms));
  };
  const Fake good({answers("")});
  CHECK(look(good));
  const Fake old({[](Fake& at) {
    at.say("HTTP/1.1 400 Bad Request\r\n\r\n");
    at.await_end();
  }});
  const auto told = look(old);
  REQUIRE_FALSE(told);
  CHECK(told.error().code() == Code::failed_precondition);
  CHECK(contains(told.error().message(), "answers by HTTP/1, not by HTTP/2"));
  const Fake silent({[](Fake& at) { at.await_end(); }});
  CHECK(look(silent).error().code() == Code::deadline_exceeded);
}
