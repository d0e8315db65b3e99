// SPDX-License-Identifier: Apache-2.0
//
// A server on net/ for tests: every kind of RPC, plain HTTP, a TCP port and, as asked, Unix
// sockets.
//   grpc_echo_server [--unix PATH=IDENTITY]… [--limit NAME=NUMBER]…
// It prints "ready PORT" and drains on SIGTERM.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "tests/net/grpc/echo.pb.h"
#include "thaw/async/event.h"
#include "thaw/async/loop.h"
#include "thaw/net/server.h"

namespace {

using namespace thaw;
using async::Task;
using testing::Answer;
using testing::Ask;

// What the tests ask about afterwards.
struct Seen {
  std::int64_t cancelled = 0;
  std::int64_t parked = 0;
};

Seen seen;
net::Server* server = nullptr;

Result<void> asked_failure(const Ask& ask) {
  if (ask.status() != 0) {
    return Error(static_cast<Code>(ask.status()), ask.text());
  }
  return ok();
}

Task<Answer> say(net::GrpcCall& call, Ask ask) {
  if (ask.seconds() > 0) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(from_seconds(ask.seconds())));
  }
  call.add_trailer("x-plain", "a trailer");
  call.add_trailer("x-raw-bin", std::string("\0\xff\x01", 3));
  THAW_CO_TRY_VOID(asked_failure(ask));
  Answer answer;
  answer.set_allocated_payload(ask.release_payload());
  answer.set_text(call.peer().identity + "|" + call.peer().address + "|" +
                  std::string(call.metadata().find("x-who").value_or("")) + "|" +
                  std::string(call.metadata().find("x-key-bin").value_or("")));
  co_return answer;
}

// The least a handler can do; for bench/net_bench.py.
Task<Answer> echo(net::GrpcCall&, Ask ask) {
  Answer answer;
  answer.set_allocated_payload(ask.release_payload());
  co_return answer;
}

Task<Answer> park(net::GrpcCall&, Ask) {
  async::Event never;
  ++seen.parked;
  const auto woken = co_await never.wait(Instant::max());
  --seen.parked;
  ++seen.cancelled;
  co_return woken.error();
}

Task<void> items(net::GrpcCall&, Ask ask, net::Sink<Answer> sink) {
  for (int i = 0; i < ask.count(); ++i) {
    Answer item;
    item.set_count(i);
    item.set_payload(std::string(static_cast<std::size_t>(ask.reply_bytes()), 'x'));
    THAW_CO_TRY_VOID(co_await sink.write(item));
    if (ask.seconds() > 0) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(from_seconds(ask.seconds())));
    }
  }
  co_return asked_failure(ask);
}

Task<Answer> sum(net::GrpcCall&, net::Source<Ask> source) {
  Answer answer;
  std::int64_t bytes = 0;
  while (true) {
    THAW_CO_TRY(const std::optional<Ask> ask, co_await source.next());
    if (!ask) {
      break;
    }
    bytes += static_cast<std::int64_t>(ask->payload().size());
    answer.set_count(answer.count() + 1);
  }
  (*answer.mutable_numbers())["bytes"] = bytes;
  co_return answer;
}

Task<void> chat(net::GrpcCall&, net::Source<Ask> source, net::Sink<Answer> sink) {
  while (true) {
    THAW_CO_TRY(std::optional<Ask> ask, co_await source.next());
    if (!ask) {
      co_return ok();
    }
    Answer answer;
    answer.set_allocated_payload(ask->release_payload());
    THAW_CO_TRY_VOID(co_await sink.write(answer));
    THAW_CO_TRY_VOID(asked_failure(*ask));
  }
}

Task<Answer> big(net::GrpcCall& call, Ask ask) {
  THAW_CO_TRY_VOID(co_await call.reserve_reply(static_cast<std::size_t>(ask.reply_bytes())));
  Answer answer;
  answer.set_payload(std::string(static_cast<std::size_t>(ask.reply_bytes()), 'x'));
  co_return answer;
}

std::int64_t resident_bytes(const char* key) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.rfind(key, 0) == 0) {
      return std::atoll(line.c_str() + std::strlen(key)) * 1024;
    }
  }
  return 0;
}

Task<Answer> numbers(net::GrpcCall&, Ask) {
  Answer answer;
  auto& map = *answer.mutable_numbers();
  map["cancelled"] = seen.cancelled;
  map["parked"] = seen.parked;
  map["rss"] = resident_bytes("VmRSS:");
  map["peak_rss"] = resident_bytes("VmHWM:");
  const auto stats = server->stats();
  map["connections"] = static_cast<std::int64_t>(stats.connections_open);
  map["grpc_calls"] = static_cast<std::int64_t>(stats.grpc_calls);
  map["http_requests"] = static_cast<std::int64_t>(stats.http_requests);
  co_return answer;
}

Task<Answer> close_identity(net::GrpcCall&, Ask ask) {
  server->close_identity(ask.text());
  Answer answer;
  co_return answer;
}

Task<void> count_failure(net::GrpcCall& call) {
  if (call.metadata().find("x-deny")) {
    co_return Error::unauthenticated("denied: the token is wrong");
  }
  co_return ok();
}

Task<void> echo_body(net::HttpExchange& exchange) {
  net::Headers headers;
  headers.add("content-type", "application/octet-stream");
  THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
  while (true) {
    THAW_CO_TRY(std::optional<std::string> piece, co_await exchange.read());
    if (!piece) {
      co_return co_await exchange.finish();
    }
    THAW_CO_TRY_VOID(co_await exchange.write(std::move(*piece)));
  }
}

Task<void> serve_http(net::HttpExchange& exchange) {
  const auto path = exchange.request().path();
  if (path == "/echo") {
    co_return co_await echo_body(exchange);
  }
  if (path == "/short") {
    net::Headers headers;
    headers.add("content-length", "10");
    THAW_CO_TRY_VOID(co_await exchange.respond(200, std::move(headers)));
    THAW_CO_TRY_VOID(co_await exchange.write("12345"));
    co_return co_await exchange.finish();
  }
  if (path == "/two-lengths") {
    net::Headers headers;
    headers.add("content-length", "5");
    headers.add("content-length", "7");
    co_return co_await exchange.respond_whole(200, std::move(headers), "12345");
  }
  if (path == "/count") {
    THAW_CO_TRY(const std::string body, co_await exchange.read_all(64u << 20));
    co_return co_await exchange.answer(200, "text/plain", std::to_string(body.size()));
  }
  if (path == "/hold") {
    ++seen.parked;
    const auto gone = co_await exchange.until_gone();
    --seen.parked;
    ++seen.cancelled;
    co_return gone;
  }
  std::string text = exchange.request().method + " " + exchange.request().target + " HTTP/" +
                     exchange.request().version + "\n";
  co_return co_await exchange.answer(path == "/" ? 200 : 404, "text/plain", std::move(text));
}

net::GrpcTable make_table() {
  net::GrpcTable table;
  const std::string service = "/thaw.testing.Echo/";
  table.unary<Ask, Answer>(service + "Say", say);
  table.unary<Ask, Answer>(service + "Echo", echo);
  table.unary<Ask, Answer>(service + "Park", park);
  table.unary<Ask, Answer>(service + "Big", big);
  table.unary<Ask, Answer>(service + "Numbers", numbers);
  table.unary<Ask, Answer>(service + "CloseIdentity", close_identity);
  table.server_stream<Ask, Answer>(service + "Items", items);
  table.client_stream<Ask, Answer>(service + "Sum", sum);
  table.bidi_stream<Ask, Answer>(service + "Chat", chat);
  table.before = count_failure;
  return table;
}

// Whoever has an x-token is somebody.
Result<net::Admission> admit(const net::HttpRequest& head, const net::Peer& peer) {
  if (peer.transport == net::Peer::Transport::unix_socket) {
    return net::Admission{"container " + peer.identity, "workspace of " + peer.identity};
  }
  const auto token = head.headers.find("x-token");
  if (!token) {
    return Error::unauthenticated("a token is missing");
  }
  return net::Admission{"workspace " + std::string(*token), ""};
}

void set_limit(net::ServerLimits& limits, const std::string& name, double value) {
  if (name == "message") {
    limits.grpc_message_bytes = static_cast<std::size_t>(value);
  } else if (name == "header_bytes") {
    limits.header_bytes = static_cast<std::size_t>(value);
  } else if (name == "header_timeout") {
    limits.header_timeout = from_seconds(value);
  } else if (name == "idle_ping") {
    limits.idle_ping = from_seconds(value);
  } else if (name == "ping_timeout") {
    limits.ping_timeout = from_seconds(value);
  } else if (name == "buffer_bytes") {
    limits.buffer_bytes = static_cast<std::size_t>(value);
  } else if (name == "connections") {
    limits.connections = static_cast<std::size_t>(value);
  } else if (name == "room_timeout") {
    limits.room_timeout = from_seconds(value);
  } else if (name == "strangers_streams") {
    limits.streams_without_token = static_cast<std::uint32_t>(value);
  } else if (name == "streams") {
    limits.streams_per_connection = static_cast<std::uint32_t>(value);
  } else {
    std::fprintf(stderr, "unknown limit %s\n", name.c_str());
    std::exit(2);
  }
}

Task<void> serve_until_told(async::Loop& loop, net::Server& running) {
  boost::asio::signal_set signals(loop.context(), SIGTERM, SIGINT);
  co_await signals.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  co_return co_await running.drain(monotonic_now() + 2s);
}

}  // namespace

int main(int argc, char** argv) {
  net::ServerLimits limits;
  std::vector<std::pair<std::string, std::string>> sockets;
  bool admits = false;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    const std::string argument = argv[i + 1];
    const auto equals = argument.find('=');
    const auto name = argument.substr(0, equals);
    const auto value = argument.substr(equals + 1);
    if (name == "admit") {
      admits = true;
    } else if (option == "--unix") {
      sockets.emplace_back(name, value);
    } else {
      set_limit(limits, name, std::atof(value.c_str()));
    }
  }
  async::Loop loop;
  net::GrpcTable table = make_table();
  if (admits) {
    table.admit = admit;
  }
  net::Server running(loop, table, serve_http, limits);
  server = &running;
  const auto port = running.listen_tcp("127.0.0.1", 0);
  if (!port) {
    std::fprintf(stderr, "%s\n", port.error().to_string().c_str());
    return 1;
  }
  for (const auto& [path, identity] : sockets) {
    const auto listening = running.listen_unix(path, identity);
    if (!listening) {
      std::fprintf(stderr, "%s\n", listening.error().to_string().c_str());
      return 1;
    }
  }
  std::printf("ready %d\n", *port);
  std::fflush(stdout);
  return loop.run_task(serve_until_told(loop, running)) ? 0 : 1;
}
