// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/client_pool.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "thaw/net/detail/http1_body.h"
#include "thaw/net/detail/in_machine.h"

namespace thaw::net::detail {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr std::size_t idle_per_endpoint = 64;
constexpr std::size_t idle_in_all = 1024;
constexpr Duration idle_time = 30s;

Result<asio::generic::stream_protocol::endpoint> address_of(const Endpoint& endpoint) {
  if (!endpoint.unix_path.empty()) {
    // sockaddr_un has room for 108 bytes with the final zero.
    if (endpoint.unix_path.size() > 107) {
      return Error::invalid_argument("the path of the socket is too long: " + endpoint.unix_path);
    }
    return asio::generic::stream_protocol::endpoint(
        asio::local::stream_protocol::endpoint(endpoint.unix_path));
  }
  error_code error;
  const auto address = endpoint.host == "localhost"
                           ? asio::ip::address(asio::ip::address_v4::loopback())
                           : asio::ip::make_address(endpoint.host, error);
  if (error) {
    return Error::invalid_argument("not a literal address: " + endpoint.host);
  }
  return asio::generic::stream_protocol::endpoint(asio::ip::tcp::endpoint(address, endpoint.port));
}

}  // namespace

std::string name_of(const Endpoint& endpoint) {
  if (!endpoint.unix_path.empty()) {
    return endpoint.unix_path;
  }
  return endpoint.host + ":" + std::to_string(endpoint.port);
}

async::Task<bool> read_final_head(ClientConnection& connection, bool head_request) {
  const std::shared_ptr<Stream> stream = connection.stream;
  Http1Parser& parser = connection.parser;
  while (true) {
    if (head_request) {
      parser.expect_no_body();
    }
    bool started = false;
    while (!parser.head_done()) {
      if (!stream->buffered().empty()) {
        started = true;
        const Result<std::size_t> used = parser.put_head(stream->buffered());
        if (!used) {
          co_return Error::unavailable("the server's answer: " + used.error().message());
        }
        stream->consume(*used);
        if (parser.head_done()) {
          break;
        }
      }
      const Result<bool> more = co_await stream->fill(
          response_head_bytes + 1024, started ? Stream::Hope::soon : Stream::Hope::later);
      if (!more && more.error().code() == Code::resource_exhausted) {
        co_return Error::unavailable("the server's answer: " + more.error().message());
      }
      if (!more && (started || stream->expired() || more.error().code() == Code::cancelled)) {
        co_return more.error();
      }
      if (!more || !*more) {
        if (started) {
          co_return Error::unavailable("the peer broke off in the middle of a head");
        }
        co_return false;
      }
    }
    const int status = parser.head().status;
    if (status == 101 || status >= 200) {
      co_return true;
    }
    parser.reset();
  }
}

async::Task<Socket> connect(async::Loop& loop, CoarseTimer& timer, Endpoint endpoint,
                            Instant deadline) {
  THAW_CO_TRY(const auto address, address_of(endpoint));
  while (true) {
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("cancelled before a connection");
    }
    Socket socket(loop.context());
    error_code error;
    socket.open(address.protocol(), error);
    if (error) {
      co_return Error::from_errno(error.value(), "cannot open a socket");
    }
    bool late = false;
    CoarseTimer::Alarm alarm([&socket, &late] {
      error_code ignored;
      late = true;
      socket.close(ignored);
    });
    timer.arm(alarm, deadline);
    std::tie(error) = co_await socket.async_connect(address, asio::as_tuple(asio::use_awaitable));
    alarm.disarm();
    if (!error) {
      if (endpoint.unix_path.empty()) {
        socket.set_option(asio::ip::tcp::no_delay(true), error);
        send_unpaced(socket.native_handle());  // it leads to a container, or to a server here
      }
      co_return socket;
    }
    if (late) {
      co_return Error::deadline_exceeded("no connection in time to " + name_of(endpoint));
    }
    if (error == asio::error::operation_aborted) {
      co_return Error::cancelled("cancelled during a connection");
    }
    // A Unix socket whose queue of connections is full refuses instead of waiting.
    if (error != asio::error::try_again || monotonic_now() >= deadline) {
      co_return Error::unavailable("cannot connect to " + name_of(endpoint) + ": " +
                                   error.message());
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(1ms));
  }
}

ClientConnectionPtr ClientPool::take(const Endpoint& endpoint, Instant deadline, Check check) {
  const auto found = idle_.find(name_of(endpoint));
  if (found == idle_.end()) {
    return nullptr;
  }
  auto& kept = found->second;
  while (!kept.empty()) {
    ClientConnectionPtr connection = std::move(kept.back());
    kept.pop_back();
    --idle_count_;
    Stream& stream = *connection->stream;
    if (stream.seems_quiet() && (check == Check::seen || stream.still_quiet())) {
      if (kept.empty()) {
        idle_.erase(found);
      }
      connection->reused = true;
      connection->parser.reset();
      stream.set_deadline(deadline);
      return connection;
    }
  }
  idle_.erase(found);
  return nullptr;
}

async::Task<ClientConnectionPtr> ClientPool::open(Endpoint endpoint, Instant deadline) {
  std::string key = name_of(endpoint);
  const auto timer = timer_;
  THAW_CO_TRY(Socket socket, co_await connect(loop_, *timer, std::move(endpoint), deadline));
  auto stream = std::make_shared<Stream>(std::move(socket), std::string_view(), timer);
  stream->set_deadline(deadline);
  co_return std::make_unique<ClientConnection>(std::move(stream), std::move(key));
}

void ClientPool::give_back(ClientConnectionPtr connection) {
  Stream& stream = *connection->stream;
  const Instant now = monotonic_now();
  if (now >= swept_at_ + idle_time) {
    sweep();
  }
  if (closed_ || !connection->parser.done() || !connection->parser.keep_alive() || !stream.open() ||
      stream.peer_gone() || !stream.buffered().empty() || stream.unsent() > 0 ||
      idle_count_ >= idle_in_all) {
    return;
  }
  auto& kept = idle_[connection->key];
  if (kept.size() >= idle_per_endpoint) {
    return;
  }
  stream.rest();
  stream.listen();
  stream.set_deadline(now + idle_time);
  kept.push_back(std::move(connection));
  ++idle_count_;
}

void ClientPool::sweep() {
  swept_at_ = monotonic_now();
  idle_count_ = 0;
  for (auto& [key, kept] : idle_) {
    std::erase_if(kept, [](const ClientConnectionPtr& one) { return !one->stream->open(); });
    idle_count_ += kept.size();
  }
  std::erase_if(idle_, [](const auto& entry) { return entry.second.empty(); });
}

void ClientPool::forget(const Endpoint& endpoint) {
  const auto found = idle_.find(name_of(endpoint));
  if (found != idle_.end()) {
    idle_count_ -= found->second.size();
    idle_.erase(found);
  }
}

void ClientPool::close() {
  closed_ = true;
  idle_.clear();
  idle_count_ = 0;
}

}  // namespace thaw::net::detail
