// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/websocket.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "thaw/codec/utf8.h"
#include "thaw/net/detail/http1_head.h"

namespace thaw::net::detail {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;
using boost::system::error_code;

namespace {

// Reads or writes of TLS: tried, and tried again when the kernel has or takes more.
template <class Try>
struct Decrypted {
  Socket& socket;
  Socket::wait_type kind;
  Try attempt;
  enum class State { begun, waits, posted } state = State::begun;
  error_code outcome{};
  std::size_t count = 0;

  template <class Self>
  void operator()(Self& self, error_code error = {}) {
    if (state == State::posted) {
      return self.complete(outcome, count);
    }
    const bool is_first = state == State::begun;
    const ssize_t done = error ? -1 : attempt(socket);
    if (!error && done < 0 && errno == EAGAIN) {
      state = State::waits;
      return socket.async_wait(kind, std::move(self));
    }
    outcome = error      ? error
              : done < 0 ? error_code(errno, boost::system::system_category())
              : done == 0 && kind == Socket::wait_read ? error_code(asio::error::eof)
                                                       : error_code();
    count = done > 0 ? static_cast<std::size_t>(done) : 0;
    if (!is_first) {
      return self.complete(outcome, count);
    }
    state = State::posted;  // never from inside of what began it
    const auto executor = socket.get_executor();
    asio::post(executor, std::move(self));
  }
};

// Beast knows how to end TCP sockets only; this one is TCP or Unix, with TLS or without.
struct Transport {
  using executor_type = Executor;

  explicit Transport(Socket s) : socket(std::move(s)) {}
  executor_type get_executor() { return socket.get_executor(); }
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    const auto read = [buffer = first_of<asio::mutable_buffer>(buffers)](Socket& from) {
      return from.receive_now(buffer.data(), buffer.size());
    };
    return start(Socket::wait_read, read, buffers, std::forward<Token>(token));
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    const auto write = [buffer = first_of<asio::const_buffer>(buffers)](Socket& to) {
      return to.send_now(buffer.data(), buffer.size());
    };
    return start(Socket::wait_write, write, buffers, std::forward<Token>(token));
  }

  Socket socket;

 private:
  template <class Buffer, class Buffers>
  static Buffer first_of(const Buffers& buffers) {
    for (auto at = asio::buffer_sequence_begin(buffers); at != asio::buffer_sequence_end(buffers);
         ++at) {
      if (const Buffer buffer(*at); buffer.size() > 0) {
        return buffer;
      }
    }
    return {};
  }
  template <class Try, class Buffers, class Token>
  auto start(Socket::wait_type kind, Try attempt, const Buffers& buffers, Token&& token) {
    return asio::async_initiate<Token, void(error_code, std::size_t)>(
        [this, kind, attempt, buffers](auto handler) {
          if (socket.tls) {
            asio::async_compose<decltype(handler), void(error_code, std::size_t)>(
                Decrypted<Try>{socket, kind, attempt}, handler, socket);
          } else if constexpr (requires {
                                 asio::mutable_buffer(*asio::buffer_sequence_begin(buffers));
                               }) {
            socket.async_read_some(buffers, std::move(handler));
          } else {
            socket.async_write_some(buffers, std::move(handler));
          }
        },
        token);
  }
};

void beast_close_socket(Transport& transport) {
  error_code ignored;
  transport.socket.close(ignored);
}

[[maybe_unused]] void teardown(beast::role_type, Transport& transport, error_code& error) {
  transport.socket.close(error);
}

template <class Handler>
void async_teardown(beast::role_type, Transport& transport, Handler&& handler) {
  error_code error;
  transport.socket.say_goodbye();
  transport.socket.shutdown(Socket::shutdown_both, error);
  asio::post(transport.get_executor(),
             beast::bind_front_handler(std::forward<Handler>(handler), error_code()));
}

Error broken(const error_code& error) {
  if (error == asio::error::operation_aborted) {
    return Error::cancelled("cancelled during a WebSocket operation");
  }
  if (error == websocket::error::message_too_big || error == websocket::error::buffer_overflow) {
    return Error::resource_exhausted("the WebSocket message is too large");
  }
  return Error::unavailable("the WebSocket broke off: " + error.message());
}

// One writer at a time: Beast allows one, and callers may be several tasks.
class Turn {
 public:
  async::Task<void> take() {
    while (busy_) {
      THAW_CO_TRY([[maybe_unused]] const bool notified, co_await free_.wait(Instant::max()));
    }
    busy_ = true;
    co_return ok();
  }
  void give_back() {
    busy_ = false;
    free_.notify_one();
  }

 private:
  bool busy_ = false;
  async::Event free_;
};

// Beast looks at a text as it comes, but not at its end where the last frame is empty.
bool ends_whole(const std::string& text) {
  if (text.empty()) {
    return true;
  }
  std::size_t begin = text.size() - 1;
  const auto goes_on = [&text](std::size_t at) { return (text[at] & 0xc0) == 0x80; };
  for (int i = 0; i < 3 && begin > 0 && goes_on(begin); ++i) {
    --begin;
  }
  const std::string last = text.substr(begin);
  return codec::valid_utf8(last) == last;
}

// What a connection costs beside its buffer.
constexpr std::size_t connection_bytes = 16u << 10;
// Of a message, at a time.
constexpr std::size_t piece_bytes = 64u << 10;

struct Connection {
  Connection(Socket socket, std::shared_ptr<Account> account)
      : held(std::move(account)), stream(std::move(socket)) {
    held.set(connection_bytes);
  }
  Held held;
  websocket::stream<Transport, false> stream;
  beast::flat_buffer buffer;
  Turn turn;
};

class BeastWebSocket final : public WebSocket {
 public:
  explicit BeastWebSocket(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)) {}
  ~BeastWebSocket() override { beast_close_socket(connection_->stream.next_layer()); }

  async::Task<std::optional<WebSocketMessage>> receive() override {
    const auto connection = connection_;
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("cancelled before a receive");
    }
    do {
      const auto [error, size] = co_await connection->stream.async_read_some(
          connection->buffer, piece_bytes, asio::as_tuple(asio::use_awaitable));
      if (error == websocket::error::closed) {
        co_return std::nullopt;
      }
      if (error) {
        co_return broken(error);
      }
      connection->held.set(connection_bytes + connection->buffer.capacity());
      const Account* account = connection->held.account();
      if (account != nullptr && !connection->stream.is_message_done() && !account->has_room(0)) {
        co_return account->exhausted("a WebSocket message");
      }
    } while (!connection->stream.is_message_done());
    WebSocketMessage message;
    message.kind = connection->stream.got_text() ? WebSocketMessage::Kind::text
                                                 : WebSocketMessage::Kind::binary;
    const auto bytes = connection->buffer.data();
    message.data.assign(static_cast<const char*>(bytes.data()), bytes.size());
    connection->buffer.clear();
    if (message.kind == WebSocketMessage::Kind::text && !ends_whole(message.data)) {
      (void)co_await close(websocket::close_code::bad_payload, "a text that is no UTF-8");
      co_return Error::invalid_argument("a text of the WebSocket ends within a character");
    }
    if (connection->buffer.capacity() > (64u << 10)) {
      connection->buffer.shrink_to_fit();
    }
    connection->held.set(connection_bytes + connection->buffer.capacity());
    co_return message;
  }

  async::Task<void> send(WebSocketMessage message) override {
    const auto connection = connection_;
    THAW_CO_TRY_VOID(co_await connection->turn.take());
    connection->stream.text(message.kind == WebSocketMessage::Kind::text);
    const auto [error, size] = co_await connection->stream.async_write(
        asio::buffer(message.data), asio::as_tuple(asio::use_awaitable));
    connection->turn.give_back();
    if (error) {
      co_return broken(error);
    }
    co_return ok();
  }

  async::Task<void> close(int code, std::string reason) override {
    const auto connection = connection_;
    THAW_CO_TRY_VOID(co_await connection->turn.take());
    if (!connection->stream.is_open()) {
      connection->turn.give_back();
      co_return ok();
    }
    websocket::close_reason why(static_cast<websocket::close_code>(code));
    why.reason.assign(reason.data(), std::min(reason.size(), why.reason.max_size()));
    const auto [error] =
        co_await connection->stream.async_close(why, asio::as_tuple(asio::use_awaitable));
    connection->turn.give_back();
    if (error && error != websocket::error::closed) {
      co_return broken(error);
    }
    co_return ok();
  }

  int close_code() const override { return connection_->stream.reason().code; }

 private:
  std::shared_ptr<Connection> connection_;
};

// Beast reads the handshake itself: what it looks at of the head is written again for it, with what
// came behind. It has room for 1,536 bytes, and heads with cookies are longer.
Result<std::string> handshake_bytes(const HttpRequest& request, std::string_view behind) {
  HeadWriter head(request.method, "/");
  for (const auto& [name, value] : request.headers.fields) {
    if (name == "host" || name == "connection" || name == "upgrade" ||
        name == "sec-websocket-key" || name == "sec-websocket-version") {
      THAW_TRY_VOID(head.add_checked(name, value));
    }
  }
  return std::move(head).end() + std::string(behind);
}

}  // namespace

async::Task<std::unique_ptr<WebSocket>> upgrade_to_websocket(std::shared_ptr<Stream> stream,
                                                             const HttpRequest& request,
                                                             std::string subprotocol,
                                                             Headers headers) {
  // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): it ends with what is released
  const HttpRequest upgrade = request;
  const auto account = stream->account();
  THAW_CO_TRY(Socket socket, co_await stream->release());
  THAW_CO_TRY(const std::string bytes, handshake_bytes(upgrade, stream->buffered()));
  const auto connection = std::make_shared<Connection>(std::move(socket), account);
  auto& websocket = connection->stream;
  websocket.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  websocket.read_message_max(websocket_message_bytes);
  websocket.auto_fragment(false);
  auto decorate = [&](websocket::response_type& response) {
    response.erase(beast::http::field::server);
    if (!subprotocol.empty()) {
      response.set(beast::http::field::sec_websocket_protocol, subprotocol);
    }
    for (const auto& [name, value] : headers.fields) {
      if (!is_hop_by_hop(name) && !name.starts_with("sec-websocket-")) {
        response.insert(name, value);
      }
    }
  };
  websocket.set_option(websocket::stream_base::decorator(decorate));
  const auto [error] =
      co_await websocket.async_accept(asio::buffer(bytes), asio::as_tuple(asio::use_awaitable));
  websocket.set_option(websocket::stream_base::decorator([](websocket::response_type&) {}));
  if (error) {
    co_return Error::invalid_argument("the WebSocket handshake failed: " + error.message());
  }
  co_return std::make_unique<BeastWebSocket>(connection);
}

}  // namespace thaw::net::detail
