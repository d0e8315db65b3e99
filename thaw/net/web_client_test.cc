// SPDX-License-Identifier: Apache-2.0
// The client against servers that do what servers of strangers do. HTTPS: tests/e2e.
#include "thaw/net/web_client.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/net/resolver.h"

using namespace thaw;
using namespace thaw::net;

namespace {

// Takes one connection after the other, reads a request with its body, and does as it is told.
class RawServer {
 public:
  using Answer = std::function<void(int connection, const std::string& request)>;

  explicit RawServer(Answer answer) : answer_(std::move(answer)) {
    std::signal(SIGPIPE, SIG_IGN);
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    REQUIRE(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) == 0);
    REQUIRE(::listen(listener_, 16) == 0);
    REQUIRE(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~RawServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }
  std::uint16_t port = 0;
  std::atomic<int> requests = 0;

 private:
  void serve() {
    while (true) {
      const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (connection < 0) {
        return;
      }
      std::string request;
      char buffer[4096];
      while (!is_whole(request)) {
        const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
        if (count <= 0) {
          break;
        }
        request.append(buffer, static_cast<std::size_t>(count));
      }
      ++requests;
      answer_(connection, request);
      ::close(connection);
    }
  }
  static bool is_whole(const std::string& request) {
    const std::size_t head = request.find("\r\n\r\n");
    const std::size_t length = request.find("Content-Length: ");
    return head != std::string::npos &&
           (length == std::string::npos ||
            request.size() >= head + 4 + std::strtoul(request.c_str() + length + 16, nullptr, 10));
  }
  int listener_ = -1;
  Answer answer_;
  std::thread thread_;
};

void say(int connection, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (count <= 0) {
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

struct Asker {
  async::Loop loop;
  WebClient client{loop, {}};

  static WebRequest request(std::uint16_t port, const std::string& host = "hooks.invalid") {
    WebRequest made;
    auto url = parse_web_url("http://" + host + ":" + std::to_string(port) + "/x?y=1");
    REQUIRE(url);
    made.url = std::move(*url);
    made.addresses = {*IpAddress::parse("127.0.0.1")};
    made.may_connect = [](const IpAddress&) { return true; };
    made.body = "the body";
    made.headers = {{"content-type", "text/plain"}, {"x-one", "1"}};
    return made;
  }
  Result<WebAnswer> post(WebRequest made) { return loop.run_task(client.post(std::move(made))); }
};

}  // namespace

TEST_CASE("a request goes to the address that was given for its host, whole") {
  std::string seen;
  RawServer server([&seen](int connection, const std::string& request) {
    seen = request;
    say(connection, "HTTP/1.1 201 Created\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nok");
  });
  // No proxy of the environment has a say.
  ::setenv("http_proxy", "http://127.0.0.1:9", 1);
  Asker asker;
  const auto answer = asker.post(Asker::request(server.port));
  ::unsetenv("http_proxy");
  REQUIRE(answer);
  CHECK(answer->peer == IpAddress::parse("127.0.0.1"));
  CHECK(answer->status == 201);
  CHECK(answer->body == "ok");
  CHECK(answer->headers.find("retry-after") == "7");
  CHECK(seen.starts_with("POST /x?y=1 HTTP/1.1\r\n"));
  CHECK(seen.find("Host: hooks.invalid:") != std::string::npos);
  CHECK(seen.find("x-one: 1\r\n") != std::string::npos);
  CHECK(seen.ends_with("\r\n\r\nthe body"));
}

TEST_CASE("an address that may not be connected to is not, whatever was resolved") {
  RawServer server([](int connection, const std::string&) {
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  Asker asker;
  for (const char* host : {"hooks.invalid", "127.0.0.1", "2130706433", "0x7f.1"}) {
    CAPTURE(host);
    WebRequest request = Asker::request(server.port, host);
    request.may_connect = [](const IpAddress& address) {
      return address.place() != IpAddress::Place::loopback;
    };
    const auto refused = asker.post(std::move(request));
    REQUIRE(!refused);
    CHECK(refused.error().code() == Code::permission_denied);
  }
  CHECK(server.requests == 0);
}

TEST_CASE("a redirect is an answer, and is not followed") {
  RawServer other([](int connection, const std::string&) {
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  });
  RawServer server([&other](int connection, const std::string&) {
    say(connection, "HTTP/1.1 307 Temporary\r\nContent-Length: 0\r\nLocation: http://127.0.0.1:" +
                        std::to_string(other.port) + "/\r\n\r\n");
  });
  Asker asker;
  const auto answer = asker.post(Asker::request(server.port));
  REQUIRE(answer);
  CHECK(answer->status == 307);
  CHECK(other.requests == 0);
}

TEST_CASE("of a body without end as much is read as is asked for, and its status counts") {
  RawServer server([](int connection, const std::string&) {
    say(connection, "HTTP/1.1 200 OK\r\n\r\n");
    const std::string piece(64 << 10, 'x');
    for (int i = 0; i < 1'000; ++i) {
      say(connection, piece);
    }
  });
  Asker asker;
  WebRequest request = Asker::request(server.port);
  request.answer_bytes = 100;
  const auto answer = asker.post(std::move(request));
  REQUIRE(answer);
  CHECK(answer->status == 200);
  CHECK(answer->body.size() == 100);
}

TEST_CASE("what is no answer is told as such, and costs a bounded time and memory") {
  const auto code = [](const RawServer::Answer& does, Duration limit = 20s) {
    RawServer server(does);
    Asker asker;
    WebRequest request = Asker::request(server.port);
    request.limit = limit;
    const auto answer = asker.post(std::move(request));
    return answer ? Code::ok : answer.error().code();
  };
  CHECK(code([](int connection, const std::string&) { say(connection, "SSH-2.0-hello\r\n"); }) ==
        Code::unavailable);
  CHECK(code([](int, const std::string&) {}) == Code::unavailable);
  CHECK(code([](int connection, const std::string&) {
          say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        }) == Code::unavailable);
  CHECK(code([](int connection, const std::string&) {
          say(connection, "HTTP/1.1 200 OK\r\n");
          // NOLINTNEXTLINE(bugprone-inc-dec-in-conditions): the condition is that of CHECK
          for (int i = 0; i < 10'000; ++i) {
            say(connection,
                "X-Header-" + std::to_string(i) + ": " + std::string(1'000, 'x') + "\r\n");
          }
        }) == Code::unavailable);
  // Says nothing until the client has left.
  CHECK(code(
            [](int connection, const std::string&) {
              char byte = 0;
              (void)::recv(connection, &byte, 1, 0);
            },
            200ms) == Code::deadline_exceeded);
  Asker asker;
  std::uint16_t closed = 0;
  {
    RawServer gone([](int, const std::string&) {});
    closed = gone.port;
  }
  CHECK(asker.post(Asker::request(closed)).error().code() == Code::unavailable);
  WebRequest odd = Asker::request(closed);
  odd.headers = {{"x-one", "1\r\nx-two: 2"}};
  CHECK(asker.post(std::move(odd)).error().code() == Code::invalid_argument);
}

TEST_CASE("who is told to stop waiting does, and the request is given up") {
  std::atomic<bool> has_left = false;
  RawServer server([&has_left](int connection, const std::string&) {
    char byte = 0;
    has_left = ::recv(connection, &byte, 1, 0) <= 0;
  });
  Asker asker;
  async::TaskGroup tasks(asker.loop);
  Code code = Code::ok;
  const auto body = [](WebClient& client, WebRequest request, Code& out) -> async::Task<void> {
    const auto answer = co_await client.post(std::move(request));
    out = answer ? Code::ok : answer.error().code();
    co_return ok();
  };
  tasks.start("post", body(asker.client, Asker::request(server.port), code));
  const auto stop = [](async::TaskGroup& group, RawServer& at) -> async::Task<void> {
    while (at.requests == 0) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
    }
    co_return co_await group.stop();
  };
  REQUIRE(asker.loop.run_task(stop(tasks, server)));
  CHECK(code == Code::cancelled);
  while (!has_left) {
    std::this_thread::yield();
  }
}

TEST_CASE("an address of a callback is http or https, to a host, and nothing tricky") {
  const auto origin = [](const char* text) {
    const auto url = parse_web_url(text);
    return url ? url->origin() : std::string("refused");
  };
  CHECK(origin("https://Hooks.Example/a?b#c") == "https://hooks.example:443");
  CHECK(origin("http://hooks.example:8080") == "http://hooks.example:8080");
  CHECK(origin("http://hooks.example./x") == "http://hooks.example:80");
  CHECK(origin("http://127.1./x") == "http://127.0.0.1:80");
  CHECK(origin("http://[::1]:80/") == "http://[::1]:80");
  CHECK(origin("http://2130706433/") == "http://127.0.0.1:80");
  CHECK(origin("http://0x7f.1/") == "http://127.0.0.1:80");
  CHECK(parse_web_url("https://a/b?c#d")->text == "https://a/b?c");
  for (const char* text : {"",
                           "hooks.example/x",
                           "//hooks.example",
                           "ftp://a/",
                           "file:///etc/passwd",
                           "gopher://a/",
                           "http://",
                           "http://user@a/",
                           "http://user:pw@a/",
                           "http://a b/",
                           "http://a/\r\nx: y",
                           "http://a:0/",
                           "http://a../",
                           "http://a:99999/",
                           "http://a\\@b/",
                           "http://\xc3\xa4/",
                           "http://[fe80::1%25eth0]/x y",
                           "javascript:alert(1)",
                           "http://0x%41%41/",
                           "http://a%ffb/"}) {
    CAPTURE(text);
    CHECK(origin(text) == "refused");
  }
}

TEST_CASE("a literal address needs no resolver, and a name that is none is told") {
  async::Loop loop;
  Resolver resolver(loop);
  const auto literal = loop.run_task(resolver.resolve("fd00::1", "ac-ann", 5s));
  REQUIRE(literal);
  CHECK(literal->front().str() == "fd00::1");
  const auto local = loop.run_task(resolver.resolve("localhost", "ac-ann", 5s));
  REQUIRE(local);
  CHECK(local->front().place() == IpAddress::Place::loopback);
  // Other spellings of an address are what the resolver makes of them, and are judged as that.
  const auto odd = loop.run_task(resolver.resolve("127.1", "ac-ann", 5s));
  CHECK((!odd || odd->front().place() == IpAddress::Place::loopback));
}

namespace {

// What a sink was given.
struct Heard final : BodySink {
  int status = 0;
  std::string range;
  std::string body;
  std::size_t enough = std::string::npos;

  bool begin(int begun, const Headers& headers) override {
    status = begun;
    range = headers.find("content-range").value_or("");
    return enough != 0;
  }
  bool take(std::string_view piece) override {
    body += piece;
    return body.size() < enough;
  }
};

WebRequest get_request(std::uint16_t port, std::shared_ptr<BodySink> sink) {
  WebRequest made = Asker::request(port);
  made.sink = std::move(sink);
  return made;
}

}  // namespace

TEST_CASE("a GET sends no body, and its sink gets what a success brings") {
  std::string seen;
  RawServer server([&seen](int connection, const std::string& request) {
    seen = request;
    say(connection,
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-\r\nContent-Length: "
        "300000\r\n\r\n" +
            std::string(300'000, 'x'));
  });
  Asker asker;
  const auto heard = std::make_shared<Heard>();
  const auto answer = asker.loop.run_task(asker.client.get(get_request(server.port, heard)));
  REQUIRE(answer);
  CHECK(answer->status == 206);
  CHECK(answer->body.empty());
  CHECK(heard->status == 206);
  CHECK(heard->range == "bytes 5-");
  CHECK(heard->body == std::string(300'000, 'x'));
  CHECK(seen.starts_with("GET /x?y=1 HTTP/1.1\r\n"));
  CHECK(seen.ends_with("\r\n\r\n"));
}

TEST_CASE("a sink hears of a success without a body, and nothing of a failure") {
  for (const bool is_success : {true, false}) {
    CAPTURE(is_success);
    RawServer server([&](int connection, const std::string&) {
      say(connection, is_success ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                                 : "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone");
    });
    Asker asker;
    const auto heard = std::make_shared<Heard>();
    const auto answer = asker.loop.run_task(asker.client.get(get_request(server.port, heard)));
    REQUIRE(answer);
    CHECK(heard->status == (is_success ? 200 : 0));
    CHECK(heard->body.empty());
    CHECK(answer->body == (is_success ? "" : "gone"));
  }
}

TEST_CASE("a sink that has enough ends its request, and that is no error") {
  for (const std::size_t enough : {std::size_t{0}, std::size_t{1'000}}) {
    CAPTURE(enough);
    RawServer server([](int connection, const std::string&) {
      say(connection, "HTTP/1.1 200 OK\r\n\r\n");
      const std::string piece(65'536, 'x');
      while (::send(connection, piece.data(), piece.size(), MSG_NOSIGNAL) > 0) {
      }
    });
    Asker asker;
    const auto heard = std::make_shared<Heard>();
    heard->enough = enough;
    const auto answer = asker.loop.run_task(asker.client.get(get_request(server.port, heard)));
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK((enough != 0 || heard->body.empty()));
  }
}

TEST_CASE("a body that breaks off is an error, and the sink has what came") {
  RawServer server([](int connection, const std::string&) {
    say(connection, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  });
  Asker asker;
  const auto heard = std::make_shared<Heard>();
  const auto answer = asker.loop.run_task(asker.client.get(get_request(server.port, heard)));
  REQUIRE(!answer);
  CHECK(answer.error().code() == Code::unavailable);
  CHECK(heard->body == "half");
}

TEST_CASE("a request with a connection of its own uses none that is kept, and keeps none") {
  std::atomic<int> connections = 0;
  std::atomic<int> requests = 0;
  // Speaks on one connection until its client closes it, in a thread for each.
  std::vector<std::thread> speaking;
  std::mutex mutex;
  RawServer server([&](int connection, const std::string& first) {
    ++connections;
    const int own = ::dup(connection);
    const std::lock_guard lock(mutex);
    speaking.emplace_back([own, first, &requests] {
      std::string request = first;
      char buffer[4096];
      while (request.find("\r\n\r\n") != std::string::npos) {
        ++requests;
        say(own, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        request.clear();
        const ssize_t count = ::recv(own, buffer, sizeof buffer, 0);
        request.append(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
      }
      ::close(own);
    });
  });
  {
    Asker asker;
    for (const auto kind : {WebRequest::Connection::kept, WebRequest::Connection::kept,
                            WebRequest::Connection::own, WebRequest::Connection::own}) {
      WebRequest request = get_request(server.port, nullptr);
      request.connection = kind;
      REQUIRE(asker.loop.run_task(asker.client.get(std::move(request))));
    }
  }
  CHECK(requests == 4);
  CHECK(connections == 3);
  for (std::thread& one : speaking) {
    one.join();
  }
}

TEST_CASE("where a Location leads is a whole URL or a part of one, and nothing else") {
  const auto base = parse_web_url("https://registry.invalid:5000/v2/a/blobs/x?y=1");
  REQUIRE(base);
  const auto joined = [&](std::string_view location) {
    const auto url = join_web_url(*base, location);
    return url ? url->text : std::string("(none)");
  };
  CHECK(joined("/other?z") == "https://registry.invalid:5000/other?z");
  CHECK(joined("beside") == "https://registry.invalid:5000/v2/a/blobs/beside");
  CHECK(joined("http://else.invalid/x") == "http://else.invalid/x");
  CHECK(joined("//else.invalid/x") == "https://else.invalid/x");
  for (const std::string location :
       {"", "ftp://else.invalid/x", "file:///etc/passwd", "https://user:pass@else.invalid/",
        "https://", "/a b", "/a\r\nb", "https://else.invalid:99999/"}) {
    CAPTURE(location);
    CHECK(joined(location) == "(none)");
  }
}
