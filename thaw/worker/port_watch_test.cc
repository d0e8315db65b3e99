// SPDX-License-Identifier: Apache-2.0
#include "thaw/worker/port_watch.h"

#include <doctest/doctest.h>

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

struct Watched {
  explicit Watched(model::PushContract agreed, const LittleServer& server)
      : contract(std::move(agreed)), watch(client, {"127.0.0.1", server.port(), ""}, contract) {}

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
        (void)LittleServer::say(connection, "HTTP/1.1 200 x\r\nconnection: close\r\n\r\n");
        while (LittleServer::say(connection, std::string(65536, 'b'))) {
        }
      } else {
        LittleServer::answer(connection, 200, "");
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
