// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/port_watch.h"

#include <doctest/doctest.h>

#include <atomic>
#include <optional>
#include <string>

#include "thaw/async/loop.h"
#include "thaw/async/task_group.h"
#include "thaw/worker/local_server_port.h"
#include "thaw/worker/testing/little_server.h"

using namespace thaw;
using namespace thaw::worker;
using testing::LittleServer;
using By = model::PushContract::Ready::By;
using Verdict = Look::Verdict;

namespace {

model::PushContract by_status() {
  model::PushContract contract;
  contract.ready = {By::status, "/health", "", {}, {"501"}};
  contract.health_path = "/health";
  return contract;
}

model::PushContract by_field() {
  model::PushContract contract;
  contract.ready = {By::field, "/health", "/status", {"READY"}, {"FAILED"}};
  contract.health_path = "/health";
  return contract;
}

net::Endpoint endpoint_of(const LittleServer& server, const model::PushContract& contract) {
  using Wire = net::Endpoint::Wire;
  const bool is_http2 = contract.wire == model::PushContract::Wire::h2c;
  return {"127.0.0.1", server.port(), "", is_http2 ? Wire::h2c : Wire::http1};
}

struct Watched {
  explicit Watched(model::PushContract agreed, const LittleServer& server)
      : contract(std::move(agreed)), watch(client, endpoint_of(server, contract), contract) {}

  Result<void> until_ready() {
    return loop.run_task(watch.until_ready([this] { return has_ended; }));
  }

  async::Loop loop;
  net::HttpClient client{loop};
  model::PushContract contract;
  PortWatch watch;
  bool has_ended = false;
};

}  // namespace

TEST_CASE("a server is ready by its status, if that is what was agreed") {
  model::PushContract::Ready ready = by_status().ready;
  CHECK(judge(ready, 200, "").verdict == Verdict::ready);
  CHECK(judge(ready, 204, "").verdict == Verdict::ready);
  CHECK(judge(ready, 503, "").verdict == Verdict::not_yet);
  CHECK(judge(ready, 404, "").verdict == Verdict::not_yet);
  CHECK(judge(ready, 501, "").verdict == Verdict::never);
  ready.good = {"200"};
  CHECK(judge(ready, 204, "").verdict == Verdict::not_yet);
}

TEST_CASE("a server is ready by a field of its answer, whatever the status is") {
  const model::PushContract::Ready ready = by_field().ready;
  CHECK(judge(ready, 200, R"({"status": "READY"})").verdict == Verdict::ready);
  CHECK(judge(ready, 503, R"({"status": "READY"})").verdict == Verdict::ready);
  CHECK(judge(ready, 200, R"({"status": "STARTING"})").verdict == Verdict::not_yet);
  CHECK(judge(ready, 200, R"({"status": "FAILED"})").verdict == Verdict::never);
  for (const char* garbage : {"", "{", "[]", "null", "{\"status\": {}}", "{\"other\": 1}"}) {
    CHECK(judge(ready, 200, garbage).verdict == Verdict::not_yet);
  }
  const std::string deep =
      R"({"status": )" + std::string(30'000, '[') + std::string(30'000, ']') + "}";
  CHECK(judge(ready, 200, deep).verdict == Verdict::not_yet);
  model::PushContract::Ready number = ready;
  number.good = {"1"};
  CHECK(judge(number, 200, R"({"status": 1})").verdict == Verdict::ready);
  number.pointer = "/a~2";
  CHECK(judge(number, 200, R"({"a": 1})").verdict == Verdict::not_yet);
}

TEST_CASE("a server is watched until it is ready") {
  SUBCASE("by a connection: it does not listen at first") {
    LittleServer server([](int, int) {});
    Watched watched(model::PushContract{}, server);
    async::TaskGroup later(watched.loop);
    const auto listens = [](LittleServer& it, PortWatch& seen) -> async::Task<void> {
      while (seen.last_look().empty()) {
        THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
      }
      it.listen();
      co_return ok();
    };
    later.start("listens", listens(server, watched.watch));
    CHECK(watched.until_ready());
    CHECK(watched.loop.run_task(later.stop()));
  }
  SUBCASE("it answers 503 while it loads") {
    LittleServer server([](int connection, int n) {
      LittleServer::answer(connection, n < 4 ? 503 : 200, "loading");
    });
    server.listen();
    Watched watched(by_status(), server);
    CHECK(watched.until_ready());
    CHECK(server.connections() == 4);
  }
  SUBCASE("it listens, and takes nothing before it is ready") {
    LittleServer server([](int connection, int n) {
      if (n < 3) {
        return;  // closed at once
      }
      LittleServer::answer(connection, 200, R"({"status": "READY"})");
    });
    server.listen();
    Watched watched(by_field(), server);
    CHECK(watched.until_ready());
  }
  SUBCASE("it answers with what is no HTTP, with a head without end, with too much") {
    LittleServer server([](int connection, int n) {
      if (n == 1) {
        (void)LittleServer::say(connection, "garbage\r\n\r\n");
      } else if (n == 2) {
        (void)LittleServer::hear(connection);
        while (LittleServer::say(connection, "HTTP/1.1 200 x\r\na: " + std::string(4096, 'a'))) {
        }
      } else if (n == 3) {
        (void)LittleServer::hear(connection);
        (void)LittleServer::say(connection, "HTTP/1.1 503 x\r\nconnection: close\r\n\r\n");
        while (LittleServer::say(connection, std::string(65536, 'b'))) {
        }
      } else {
        // Its status is known, and no more of it is taken.
        (void)LittleServer::hear(connection);
        (void)LittleServer::say(connection, "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n");
        while (LittleServer::say(connection, std::string(65536, 'b'))) {
        }
      }
    });
    server.listen();
    Watched watched(by_status(), server);
    CHECK(watched.until_ready());
    CHECK(server.connections() == 4);
  }
  SUBCASE("it accepts and never answers, once") {
    LittleServer server([](int connection, int n) {
      if (n == 1) {
        LittleServer::wait(connection);
      } else {
        LittleServer::answer(connection, 200, "");
      }
    });
    server.listen();
    Watched watched(by_status(), server);
    CHECK(watched.until_ready());
    CHECK(server.connections() == 2);
  }
}

TEST_CASE("a server of HTTP/2 is looked at by HTTP/2") {
  model::PushContract contract;
  contract.wire = model::PushContract::Wire::h2c;
  SUBCASE("it is ready once it has said its preface, and not by listening alone") {
    LittleServer server([](int connection, int n) {
      if (n == 1) {
        return;  // closed at once
      }
      (void)LittleServer::say(connection, std::string("\0\0\0\4\0\0\0\0\0", 9));
    });
    server.listen();
    Watched watched(contract, server);
    CHECK(watched.until_ready());
    CHECK(server.connections() == 2);
  }
  SUBCASE("one that answers by HTTP/1 never will be") {
    LittleServer server([](int connection, int) {
      (void)LittleServer::say(connection, "HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    server.listen();
    Watched watched(contract, server);
    const auto outcome = watched.until_ready();
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code() == Code::failed_precondition);
    CHECK(outcome.error().message().find("answers by HTTP/1") != std::string::npos);
  }
}

TEST_CASE("a server that says that it never will be ready is believed") {
  LittleServer server([](int connection, int) {
    LittleServer::answer(connection, 200, R"({"status": "FAILED"})");
  });
  server.listen();
  Watched watched(by_field(), server);
  const Result<void> ready = watched.until_ready();
  REQUIRE_FALSE(ready);
  CHECK(ready.error().code() == Code::failed_precondition);
  CHECK(ready.error().message().find("/status = FAILED") != std::string::npos);
}

TEST_CASE("the watch ends with what is watched") {
  LittleServer server([](int, int) {});
  Watched watched(by_status(), server);
  watched.has_ended = true;
  CHECK(watched.until_ready().error().code() == Code::unavailable);
}

TEST_CASE("health is asked for once, and told as it is") {
  int status = 200;
  std::string body;
  LittleServer server([&](int connection, int) { LittleServer::answer(connection, status, body); });
  server.listen();
  SUBCASE("by a status") {
    Watched watched(by_status(), server);
    CHECK(watched.loop.run_task(watched.watch.check_health()));
    status = 500;
    CHECK_FALSE(watched.loop.run_task(watched.watch.check_health()));
  }
  SUBCASE("by the field that tells readiness too") {
    Watched watched(by_field(), server);
    body = R"({"status": "BUSY"})";
    CHECK(watched.loop.run_task(watched.watch.check_health()));
    body = R"({"status": "FAILED"})";
    CHECK_FALSE(watched.loop.run_task(watched.watch.check_health()));
  }
}

TEST_CASE("an answer that goes on and on tells what stands at its beginning") {
  std::string status = "STARTING";
  LittleServer server([&](int connection, int n) {
    status = n < 3 ? "STARTING" : "READY";
    LittleServer::answer(
        connection, 200,
        R"({"status": ")" + status + R"(", "logs": ")" + std::string(4u << 20, 'x') + R"("})");
  });
  server.listen();
  Watched watched(by_field(), server);
  CHECK(watched.until_ready());
  CHECK(status == "READY");
  CHECK(watched.loop.run_task(watched.watch.check_health()));
  Watched by_number(by_status(), server);
  CHECK(by_number.until_ready());
}

TEST_CASE("what is asked at a port is one request and one bounded answer") {
  std::string heard;
  LittleServer server([&](int connection, int n) {
    heard = LittleServer::hear(connection);
    if (n == 2) {
      return;  // without an answer
    }
    const std::string body(n == 3 ? 5000 : 5, 'b');
    (void)LittleServer::say(connection,
                            "HTTP/1.1 418 x\r\nconnection: close\r\nx-a: 1\r\ncontent-length: " +
                                std::to_string(body.size()) + "\r\n\r\n" + body);
  });
  server.listen();
  async::Loop loop;
  net::HttpClient client(loop);
  model::PushContract contract;
  contract.port = server.port();
  LocalServerPort port(client, "127.0.0.1", contract, [] { return false; });
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = "/run?a=1";
  request.headers = {{"content-type", "text/plain"}};
  request.body = "in";
  const Instant deadline = monotonic_now() + 1min;
  const auto answer = loop.run_task(port.ask(request, 100, deadline));
  REQUIRE(answer);
  CHECK(answer->status == 418);
  CHECK(answer->body == "bbbbb");
  CHECK(heard.starts_with("POST /run?a=1 HTTP/1.1\r\n"));
  CHECK(heard.find("content-type: text/plain\r\n") != std::string::npos);
  CHECK(loop.run_task(port.ask(request, 100, deadline)).error().code() == Code::unavailable);
  CHECK(loop.run_task(port.ask(request, 100, deadline)).error().code() == Code::resource_exhausted);
}

namespace {

// So many pieces of one kind go, and what comes is counted.
class CountedBodies final : public Bodies {
 public:
  CountedBodies(std::size_t pieces, std::size_t piece_bytes)
      : left_(pieces), bytes_(pieces * piece_bytes), piece_(piece_bytes, 'p') {}
  std::uint64_t request_bytes() const override { return bytes_; }
  async::Task<std::string> next() override {
    if (left_ == 0) {
      co_return std::string();
    }
    if (--left_ == breaks_at) {
      co_return Error::data_loss("the blob is not what was stored");
    }
    co_return piece_;
  }
  async::Task<void> take(std::string piece) override {
    taken += piece.size();
    co_return taken > most ? Result<void>(Error::resource_exhausted("it is too large")) : ok();
  }
  std::optional<std::size_t> breaks_at;
  std::size_t most = std::string::npos;
  std::size_t taken = 0;

 private:
  std::size_t left_;
  std::uint64_t bytes_;
  std::string piece_;
};

}  // namespace

TEST_CASE("a request and its answer go in pieces, both ways at once") {
  std::string head;
  std::atomic<std::size_t> received = 0;
  LittleServer server([&](int connection, int n) {
    head = LittleServer::hear(connection);
    received = head.size() - head.find("\r\n\r\n") - 4;
    if (n == 2) {
      (void)LittleServer::say(connection,
                              "HTTP/1.1 413 x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
      LittleServer::wait(connection);
      return;
    }
    // An answer as large, begun before the request is there: more than all buffers between have.
    (void)LittleServer::say(connection, "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n");
    char bytes[65'536];
    while (received < 20'000'004) {
      const ssize_t got = ::recv(connection, bytes, sizeof bytes, 0);
      if (got <= 0 || !LittleServer::say(connection, {bytes, static_cast<std::size_t>(got)})) {
        return;
      }
      received += static_cast<std::size_t>(got);
    }
  });
  server.listen();
  async::Loop loop;
  net::HttpClient client(loop);
  model::PushContract contract;
  contract.port = server.port();
  LocalServerPort port(client, "127.0.0.1", contract, [] { return false; });
  codec::HttpRequestMessage request;
  request.method = "POST";
  request.target = "/run";
  request.headers = {{"content-type", "text/plain"}, {"upgrade", "websocket"}};
  request.body = "head";
  CountedBodies bodies(200, 100'000);
  const auto answer = loop.run_task(port.ask_in_pieces(request, bodies));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body.empty());
  CHECK(received == 20'000'004);
  CHECK(bodies.taken > 19'900'000);
  CHECK(head.find("content-length: 20000004\r\n") != std::string::npos);
  CHECK(head.find("upgrade") == std::string::npos);
  // One that refuses need not read it.
  CountedBodies refused(200, 100'000);
  const auto refusal = loop.run_task(port.ask_in_pieces(request, refused));
  REQUIRE(refusal);
  CHECK(refusal->status == 413);
  // What cannot be read, or not be kept, ends the request, and is why.
  CountedBodies broken(200, 100'000);
  broken.breaks_at = 100;
  CHECK(loop.run_task(port.ask_in_pieces(request, broken)).error().code() == Code::data_loss);
  CountedBodies tight(200, 100'000);
  tight.most = 1'000'000;
  CHECK(loop.run_task(port.ask_in_pieces(request, tight)).error().code() ==
        Code::resource_exhausted);
}
