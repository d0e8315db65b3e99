// SPDX-License-Identifier: Apache-2.0
//
// Any bytes behind the handshake of a WebSocket. A second reader of frames, which knows nothing but
// RFC 6455, says which messages are in them: the server's handler gets just these, and all that it
// sends is frames that a client may take.
#include <optional>
#include <vector>

#include "tests/fuzz/connection.h"
#include "tests/fuzz/target.h"
#include "thaw/codec/utf8.h"

namespace thaw::fuzz {

namespace {

constexpr std::string_view handshake =
    "GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

enum class Operation : std::uint8_t {
  more = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10
};

struct Frame {
  bool is_last = false;
  Operation operation{};
  std::string payload;
};

struct Message {
  bool is_text = false;
  std::string data;
  bool operator==(const Message&) const = default;
};

enum class From { client, server };

// Taken off the front; nullopt where it is not whole, or none.
std::optional<Frame> take_frame(std::string_view& bytes, From from) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
  if (bytes.size() < 2) {
    return std::nullopt;
  }
  Frame frame;
  frame.is_last = (at(0) & 0x80) != 0;
  frame.operation = static_cast<Operation>(at(0) & 0x0f);
  const bool is_masked = (at(1) & 0x80) != 0;
  const bool is_control = (at(0) & 0x08) != 0;
  const int kind = at(0) & 0x07;
  std::uint64_t size = at(1) & 0x7f;
  if ((at(0) & 0x70) != 0 || kind > 2 || is_masked != (from == From::client) ||
      (is_control && (!frame.is_last || size > 125))) {
    return std::nullopt;
  }
  const std::size_t width = size == 127 ? 8 : size == 126 ? 2 : 0;
  std::size_t begin = 2 + width + (is_masked ? 4 : 0);
  if (bytes.size() < begin) {
    return std::nullopt;
  }
  if (width > 0) {
    size = 0;
    for (std::size_t i = 0; i < width; ++i) {
      size = size << 8 | at(2 + i);
    }
    if (size < (width == 2 ? 126u : 65'536u)) {
      return std::nullopt;  // not in the shortest form
    }
  }
  if (size > bytes.size() - begin) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < size; ++i) {
    frame.payload += static_cast<char>(at(begin + i) ^ (is_masked ? at(begin - 4 + i % 4) : 0));
  }
  bytes.remove_prefix(begin + size);
  return frame;
}

bool is_utf8(const std::string& text) { return codec::valid_utf8(text) == text; }

struct Heard {
  std::vector<Message> messages;
  std::vector<std::string> pings;
};

// Up to the close, or to what no peer may send.
Heard listen(std::string_view bytes, From from) {
  Heard heard;
  std::optional<Message> open;
  while (const auto frame = take_frame(bytes, from)) {
    if (frame->operation == Operation::close) {
      break;
    }
    if (frame->operation == Operation::ping || frame->operation == Operation::pong) {
      if (frame->operation == Operation::ping) {
        heard.pings.push_back(frame->payload);
      }
      continue;
    }
    if (open.has_value() != (frame->operation == Operation::more)) {
      break;
    }
    if (!open) {
      open.emplace(Message{frame->operation == Operation::text, {}});
    }
    open->data += frame->payload;
    if (frame->is_last) {
      if (open->is_text && !is_utf8(open->data)) {
        break;
      }
      heard.messages.push_back(std::move(*open));
      open.reset();
    }
  }
  return heard;
}

std::vector<Message>& received() {
  static std::vector<Message> messages;
  return messages;
}

async::Task<void> serve(net::HttpExchange& exchange) {
  THAW_CO_TRY(const auto socket, co_await exchange.accept_websocket("", {}));
  while (true) {
    THAW_CO_TRY(auto message, co_await socket->receive());
    if (!message) {
      const int code = socket->close_code();
      expect(code == 0 || code >= 1000, "a close has a code of closes, or none");
      co_return ok();
    }
    received().push_back({message->kind == net::WebSocketMessage::Kind::text, message->data});
    THAW_CO_TRY_VOID(co_await socket->send(std::move(*message)));
  }
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input.substr(0, most_input_bytes));
  const std::size_t with_head = bytes.byte();
  const std::string_view said = bytes.rest();
  received().clear();
  static const net::HttpHandler handler = serve;
  const std::size_t early = std::min(with_head, said.size());
  const std::string at_once = std::string(handshake) + std::string(said.substr(0, early));
  const std::string answers = serve_connection(at_once, said.substr(early), handler, 64u << 10);
  const std::size_t head = answers.find("\r\n\r\n");
  expect(answers.starts_with("HTTP/1.1 101 ") && head != std::string::npos,
         "a good handshake is accepted");
  const Heard asked = listen(said, From::client);
  expect(received() == asked.messages, "the handler gets the messages that were sent");
  std::string_view rest = std::string_view(answers).substr(head + 4);
  const Heard told = listen(rest, From::server);
  expect(told.messages == received(), "a client gets what the handler sent");
  expect(told.pings.empty(), "a peer that speaks is not asked whether it lives");
  while (take_frame(rest, From::server)) {
  }
  expect(rest.empty(), "whole frames are sent, and no others");
}

}  // namespace thaw::fuzz
