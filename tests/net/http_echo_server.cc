// SPDX-License-Identifier: Apache-2.0
//
// http_echo_server: what the tests of net/ talk to. One handler with a path for each behaviour.
//   http_echo_server [--unix PATH] [--upstream PORT] [--upstream-unix PATH] [--patience none]
//                    [--tls FOLDER]
// It listens on a free port, prints "port N" and runs until its stdin ends; "drain" on stdin drains
// it first. /tcp/…, /unix/… and /dead/… are proxied to the upstream, /fetch/… is asked for by the
// client. With --tls it speaks TLS too, and writes the authority of its certificate, which is for
// localhost, to FOLDER/authority.pem.
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "thaw/async/task_group.h"
#include "thaw/net/http_client.h"
#include "thaw/net/server.h"
#include "thaw/net/tls_authority.h"
#include "thaw/net/trust_bundle.h"

namespace thaw::net {
namespace {

namespace asio = boost::asio;

struct World {
  async::Loop loop;
  GrpcTable table;
  HttpClient client{loop};
  Endpoint tcp;
  Endpoint unix_socket;
  std::string listen_unix;
  std::string tls_folder;
  bool impatient = false;
  int gone = 0;
  int hanging = 0;
  int cancelled_receives = 0;
};

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

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

async::Task<void> receive_into(WebSocket& socket, std::string& out) {
  Result<std::optional<WebSocketMessage>> message = co_await socket.receive();
  out = !message ? std::string(code_name(message.error().code())) : *message ? "got one" : "closed";
  co_return ok();
}

// Tells what a receive() says whose task is cancelled.
async::Task<void> cancel_websocket(World& world, HttpExchange& exchange) {
  THAW_CO_TRY(const auto socket, co_await exchange.accept_websocket("", Headers()));
  std::string said;
  async::TaskGroup group(world.loop);
  group.start("receive", receive_into(*socket, said));
  THAW_CO_TRY_VOID(co_await async::yield());
  THAW_CO_TRY_VOID(co_await group.stop());
  world.cancelled_receives += said == "cancelled" ? 1 : 0;
  co_return ok();
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
                           ",\"cancelled_receives\":" + std::to_string(world.cancelled_receives) +
                           ",\"rss_kib\":" + std::to_string(resident_kib()) +
                           ",\"sanitized\":" + (sanitized ? "1" : "0") + "}";
  co_return co_await exchange.answer(200, "application/json", body);
}

async::Task<void> show_request(HttpExchange& exchange) {
  const HttpRequest& request = exchange.request();
  std::string text = request.method + " " + request.target + " " + request.version + " " +
                     request.authority + "\n";
  text += "peer " + request.peer.identity + "\n";
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

Instant deadline_in(std::string_view query) {
  const std::size_t ms = number_in(query, "deadline_ms");
  return ms == 0 ? Instant::max() : monotonic_now() + std::chrono::milliseconds(ms);
}

async::Task<void> proxy(World& world, HttpExchange& exchange, Endpoint endpoint) {
  const std::string& target = exchange.request().target;
  ProxyOptions options;
  options.target = target.substr(target.find('/', 1));
  options.add_headers.add("x-forwarded-for", "1.2.3.4");
  options.deadline = deadline_in(exchange.request().query());
  co_return co_await world.client.proxy(exchange, std::move(endpoint), std::move(options));
}

async::Task<void> fetch(World& world, HttpExchange& exchange) {
  ClientRequest request;
  request.method = exchange.request().method;
  request.target = exchange.request().target.substr(std::string_view("/fetch").size());
  request.authority = "upstream";
  THAW_CO_TRY(request.body, co_await exchange.read_all(100u << 20));
  const Instant deadline = deadline_in(exchange.request().query());
  THAW_CO_TRY(const auto response,
              co_await world.client.send(world.tcp, std::move(request), deadline));
  THAW_CO_TRY(std::string body, co_await response->read_all(100u << 20));
  co_return co_await exchange.answer(response->status, "text/plain", std::move(body));
}

async::Task<void> probe(World& world, HttpExchange& exchange) {
  const Instant deadline = deadline_in(exchange.request().query());
  Endpoint endpoint{"127.0.0.1",
                    static_cast<std::uint16_t>(number_in(exchange.request().query(), "port")), ""};
  THAW_CO_TRY(const bool can, co_await world.client.connects(std::move(endpoint), deadline));
  co_return co_await exchange.answer(200, "text/plain", can ? "yes" : "no");
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
  if (path == "/ws-cancel") {
    co_return co_await cancel_websocket(world, exchange);
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
  if (path == "/two-lengths") {
    Headers headers;
    headers.add("content-length", "5");
    headers.add("content-length", "7");
    co_return co_await exchange.respond_whole(200, std::move(headers), "hello");
  }
  if (path == "/inject") {
    Headers headers;
    headers.add("x-bad", "a\r\nset-cookie: b");
    co_return co_await exchange.respond(200, std::move(headers));
  }
  if (path.starts_with("/unix/")) {
    co_return co_await proxy(world, exchange, world.unix_socket);
  }
  if (path.starts_with("/dead/")) {
    co_return co_await proxy(world, exchange, Endpoint{"127.0.0.1", 1, ""});
  }
  if (path.starts_with("/fetch/")) {
    co_return co_await fetch(world, exchange);
  }
  if (path == "/can-connect") {
    co_return co_await probe(world, exchange);
  }
  if (path == "/forget") {
    world.client.forget(world.tcp);
    co_return co_await exchange.answer(200, "text/plain", "");
  }
  co_return Error::not_found("no such path");
}

// True: asked to drain; false: the input has ended.
async::Task<bool> next_command(asio::posix::stream_descriptor& input) {
  std::array<char, 64> buffer;
  const auto [error, count] =
      co_await input.async_read_some(asio::buffer(buffer), asio::as_tuple(asio::use_awaitable));
  co_return !error;
}

Result<std::shared_ptr<const TlsIdentities>> make_identities(const std::string& folder) {
  const Validity validity{wall_now() - 1h, wall_now() + 24h};
  THAW_TRY(const PemPair authority, make_authority("tests", validity));
  THAW_TRY(const PemPair own,
           make_server_certificate(authority, {"localhost", "127.0.0.1"}, validity));
  THAW_TRY_VOID(replace_file(folder + "/own.pem", own.certificate + own.key, 0600));
  THAW_TRY_VOID(replace_file(folder + "/authority.pem", authority.certificate, 0644));
  return TlsIdentities::read({{folder + "/own.pem", folder + "/own.pem", {}}}, wall_now());
}

async::Task<void> serve(World& world) {
  ServerLimits limits;
  if (world.impatient) {
    limits.header_timeout = 1s;
    limits.http1_idle = 1s;
  }
  const HttpHandler handler = [&world](HttpExchange& exchange) {
    // Without a frame around it, since this is what is measured.
    return exchange.request().path().starts_with("/tcp/") ? proxy(world, exchange, world.tcp)
                                                          : handle(world, exchange);
  };
  Server server(world.loop, world.table, handler, limits);
  THAW_CO_TRY(const std::uint16_t port, server.listen_tcp("127.0.0.1", 0));
  if (!world.tls_folder.empty()) {
    THAW_CO_TRY(auto identities, make_identities(world.tls_folder));
    server.speak_tls(std::move(identities));
  }
  if (!world.listen_unix.empty()) {
    THAW_CO_TRY_VOID(server.listen_unix(world.listen_unix, "tester"));
  }
  std::printf("port %u\n", static_cast<unsigned>(port));
  std::fflush(stdout);
  asio::posix::stream_descriptor input(world.loop.context(), ::dup(STDIN_FILENO));
  THAW_CO_TRY(const bool drain, co_await next_command(input));
  if (drain) {
    THAW_CO_TRY_VOID(co_await server.drain(monotonic_now() + 10s));
    std::printf("drained\n");
    std::fflush(stdout);
    THAW_CO_TRY([[maybe_unused]] const bool more, co_await next_command(input));
  }
  co_return co_await server.drain(monotonic_now());
}

}  // namespace
}  // namespace thaw::net

int main(int argc, char** argv) {
  thaw::net::World world;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--unix") {
      world.listen_unix = argv[i + 1];
    } else if (option == "--upstream") {
      world.tcp = {"127.0.0.1", static_cast<std::uint16_t>(std::atoi(argv[i + 1])), ""};
    } else if (option == "--tls") {
      world.tls_folder = argv[i + 1];
    } else if (option == "--patience") {
      world.impatient = std::string_view(argv[i + 1]) == "none";
    } else if (option == "--upstream-unix") {
      world.unix_socket = {"", 0, argv[i + 1]};
    }
  }
  const auto result = world.loop.run_task(thaw::net::serve(world));
  if (!result) {
    std::fprintf(stderr, "%s\n", result.error().to_string().c_str());
  }
  return result ? 0 : 1;
}
