// SPDX-License-Identifier: Apache-2.0
//
// http_echo_server: what the tests of net/ talk to. One handler with a path for each behaviour.
//   http_echo_server [--unix PATH] [--upstream PORT] [--upstream-unix PATH]
// It listens on a free port, prints "port N" and runs until its stdin ends.
#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>

#include "thaw/async/task_group.h"
#include "thaw/net/detail/http1_session.h"
#include "thaw/net/http.h"

namespace thaw::net {
namespace {

namespace asio = boost::asio;

struct World {
  async::Loop loop;
  int gone = 0;
  int hanging = 0;
  std::map<std::string, int> counters;
};

std::size_t number_in(std::string_view query, std::string_view key) {
  const std::string wanted = std::string(key) + "=";
  const std::size_t at = query.find(wanted);
  std::size_t value = 0;
  if (at != std::string_view::npos) {
    std::from_chars(query.data() + at + wanted.size(), query.data() + query.size(), value);
  }
  return value;
}

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      std::size_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

async::Task<void> stream_bytes(HttpExchange& exchange, std::size_t left) {
  while (left > 0) {
    std::string piece(std::min<std::size_t>(left, 64u << 10), 'x');
    left -= piece.size();
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(piece)));
  }
  co_return co_await exchange.finish();
}

async::Task<void> echo(HttpExchange& exchange) {
  Headers headers;
  if (const auto length = exchange.request().headers.find("content-length")) {
    headers.add("content-length", std::string(*length));
  }
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      co_return co_await exchange.finish();
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(*piece)));
  }
}

async::Task<void> count_body(HttpExchange& exchange) {
  std::size_t count = 0;
  while (true) {
    THAW_CO_TRY(const std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      break;
    }
    count += piece->size();
  }
  co_return co_await exchange.answer(200, "text/plain", std::to_string(count));
}

async::Task<void> events(HttpExchange& exchange, std::size_t count) {
  Headers headers;
  headers.add("content-type", "text/event-stream");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  for (std::size_t i = 0; i < count; ++i) {
    THAW_CO_TRY_VOID(co_await exchange.write("data: " + std::to_string(i) + "\n\n"));
    THAW_CO_TRY_VOID(co_await async::sleep_for(20ms));
  }
  co_return co_await exchange.finish();
}

async::Task<void> echo_websocket(HttpExchange& exchange, std::string_view query) {
  const std::string subprotocol = query.find("chat") != std::string_view::npos ? "chat" : "";
  Headers headers;
  headers.add("x-extra", "1");
  THAW_CO_TRY(const auto socket,
              co_await exchange.accept_websocket(subprotocol, std::move(headers)));
  while (true) {
    THAW_CO_TRY(std::optional<WebSocketMessage> message, co_await socket->receive());
    if (!message) {
      co_return ok();
    }
    if (message->data == "close") {
      co_return co_await socket->close(4001, "asked");
    }
    THAW_CO_TRY_VOID(co_await socket->send(std::move(*message)));
  }
}

async::Task<void> hang(World& world, HttpExchange& exchange) {
  ++world.hanging;
  const Result<void> gone = co_await exchange.until_gone();
  --world.hanging;
  ++world.gone;
  co_return gone;
}

async::Task<void> tell(World& world, HttpExchange& exchange) {
  const std::string body = "{\"gone\":" + std::to_string(world.gone) +
                           ",\"hanging\":" + std::to_string(world.hanging) +
                           ",\"rss_kib\":" + std::to_string(resident_kib()) + "}";
  co_return co_await exchange.answer(200, "application/json", body);
}

async::Task<void> show_request(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  std::string text = request.method + " " + request.target + " " + request.version + " " +
                     request.authority + "\n";
  for (const auto& [name, value] : request.headers.fields) {
    text += name + ": " + value + "\n";
  }
  co_return co_await exchange.answer(200, "text/plain", text);
}

// Watches for the client's end while it reads and answers, as a gateway does.
async::Task<void> watched_echo(World& world, HttpExchange& exchange) {
  async::TaskGroup group(world.loop);
  group.start("watch", exchange.until_gone());
  THAW_CO_TRY_VOID(co_await async::yield());
  const Result<void> result = co_await echo(exchange);
  THAW_CO_TRY_VOID(co_await group.stop());
  co_return result;
}

async::Task<void> handle(World& world, HttpExchange& exchange) {
  const std::string_view path = exchange.request().path();
  const std::string_view query = exchange.request().query();
  if (path == "/hello") {
    co_return co_await exchange.answer(200, "text/plain", "hello");
  }
  if (path == "/echo") {
    co_return co_await echo(exchange);
  }
  if (path == "/watched-echo") {
    co_return co_await watched_echo(world, exchange);
  }
  if (path == "/count") {
    co_return co_await count_body(exchange);
  }
  if (path == "/bytes" || path == "/chunked") {
    const std::size_t count = number_in(query, "n");
    Headers headers;
    if (path == "/bytes") {
      headers.add("content-length", std::to_string(count));
    }
    THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
    co_return co_await stream_bytes(exchange, count);
  }
  if (path == "/status") {
    THAW_CO_TRY_VOID(co_await exchange.respond(static_cast<int>(number_in(query, "n")), Headers()));
    co_return co_await exchange.finish();
  }
  if (path == "/events") {
    co_return co_await events(exchange, number_in(query, "n"));
  }
  if (path == "/ws") {
    co_return co_await echo_websocket(exchange, query);
  }
  if (path == "/hang") {
    co_return co_await hang(world, exchange);
  }
  if (path == "/tell") {
    co_return co_await tell(world, exchange);
  }
  if (path == "/show") {
    co_return co_await show_request(exchange);
  }
  if (path == "/silent") {
    co_return ok();
  }
  if (path == "/error") {
    co_return Error(static_cast<Code>(number_in(query, "code")), "asked \"for\" this");
  }
  if (path == "/late-error") {
    THAW_CO_TRY_VOID(co_await exchange.respond(200, Headers()));
    THAW_CO_TRY_VOID(co_await exchange.write("some"));
    co_return Error::internal("broken in the middle");
  }
  if (path == "/short") {
    Headers headers;
    headers.add("content-length", "10");
    THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
    THAW_CO_TRY_VOID(co_await exchange.write("short"));
    co_return co_await exchange.finish();
  }
  if (path == "/inject") {
    Headers headers;
    headers.add("x-bad", "a\r\nset-cookie: b");
    co_return co_await exchange.respond(200, std::move(headers));
  }
  co_return Error::not_found("no such path");
}

async::Task<void> accept_all(asio::ip::tcp::acceptor& acceptor, async::TaskGroup& connections,
                             const HttpHandler& handler, std::shared_ptr<detail::ServerCore> core) {
  while (true) {
    detail::Socket socket(core->loop.context());
    asio::basic_stream_socket<asio::ip::tcp, detail::Executor> accepted(core->loop.context());
    const auto [error] =
        co_await acceptor.async_accept(accepted, asio::as_tuple(asio::use_awaitable));
    if (error) {
      co_return Error::cancelled("no more connections");
    }
    boost::system::error_code ignored;
    accepted.set_option(asio::ip::tcp::no_delay(true), ignored);
    Peer peer;
    peer.address = "test";
    detail::Http1Connection connection{.socket = detail::Socket(std::move(accepted)),
                                       .already_read = "",
                                       .peer = peer,
                                       .handler = &handler,
                                       .core = core,
                                       .accepted_at = monotonic_now()};
    connections.start("connection", detail::run_http1(std::move(connection)));
  }
}

async::Task<void> until_stdin_ends(async::Loop& loop) {
  asio::posix::stream_descriptor input(loop.context(), ::dup(STDIN_FILENO));
  std::array<char, 64> buffer;
  while (true) {
    const auto [error, count] =
        co_await input.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
    if (error) {
      co_return ok();
    }
  }
}

async::Task<void> serve(World& world) {
  ServerLimits limits;
  limits.header_timeout = 2s;
  limits.http1_idle = 4s;
  const auto core = std::make_shared<detail::ServerCore>(world.loop, limits);
  const HttpHandler handler = [&world](HttpExchange& exchange) { return handle(world, exchange); };
  asio::ip::tcp::acceptor acceptor(world.loop.context(),
                                   asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  acceptor.listen();
  std::printf("port %u\n", static_cast<unsigned>(acceptor.local_endpoint().port()));
  std::fflush(stdout);
  async::TaskGroup group(world.loop);
  group.start("accept", accept_all(acceptor, group, handler, core));
  THAW_CO_TRY_VOID(co_await until_stdin_ends(world.loop));
  co_return co_await group.stop();
}

}  // namespace
}  // namespace thaw::net

int main() {
  thaw::net::World world;
  const auto result = world.loop.run_task(thaw::net::serve(world));
  return result ? 0 : 1;
}
