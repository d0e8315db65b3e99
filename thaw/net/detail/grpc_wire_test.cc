// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/grpc_wire.h"

#include <doctest/doctest.h>

#include <cstring>

using namespace thaw;
using namespace thaw::net::detail;

namespace {

std::string framed(std::string_view message) {
  const auto prefix = grpc_prefix(message.size());
  return std::string(prefix.data(), prefix.size()) + std::string(message);
}

}  // namespace

TEST_CASE("a grpc-timeout is one to eight digits and a unit") {
  CHECK(parse_grpc_timeout("1H") == Duration(1h));
  CHECK(parse_grpc_timeout("2M") == Duration(2min));
  CHECK(parse_grpc_timeout("3S") == Duration(3s));
  CHECK(parse_grpc_timeout("100m") == Duration(100ms));
  CHECK(parse_grpc_timeout("5u") == Duration(5us));
  CHECK(parse_grpc_timeout("99999999n") == Duration(99'999'999ns));
  CHECK(parse_grpc_timeout("0S") == Duration(0));
  for (const char* text : {"", "S", "1", "1s", "-1S", "+1S", "1.5S", " 1S", "1S ", "123456789S"}) {
    CAPTURE(text);
    CHECK(!parse_grpc_timeout(text));
  }
}

TEST_CASE("the largest grpc-timeout does not overflow an instant") {
  const auto duration = parse_grpc_timeout("99999999H");
  REQUIRE(duration);
  CHECK(monotonic_now() + *duration > monotonic_now() + 24h);
}

TEST_CASE("a grpc-message is printable ASCII with percent escapes") {
  CHECK(encode_grpc_message("plain text, 1 + 1 = 2") == "plain text, 1 + 1 = 2");
  CHECK(encode_grpc_message("100 %\n\xc3\xbc") == "100 %25%0A%C3%BC");
  CHECK(encode_grpc_message("") == "");
}

TEST_CASE("a long grpc-message is cut between two escapes") {
  const std::string encoded = encode_grpc_message(std::string(100'000, '\n'));
  CHECK(encoded.size() <= (16u << 10));
  CHECK(encoded.size() % 3 == 0);
}

TEST_CASE("gRPC is told from other content types") {
  CHECK(is_grpc_content_type("application/grpc"));
  CHECK(is_grpc_content_type("application/grpc+proto"));
  CHECK(is_grpc_content_type("application/grpc;charset=utf-8"));
  CHECK(!is_grpc_content_type("application/grpc-web"));
  CHECK(!is_grpc_content_type("application/grpc-web+proto"));
  CHECK(!is_grpc_content_type("application/json"));
  CHECK(!is_grpc_content_type(""));
}

TEST_CASE("messages are cut from bytes however they arrive") {
  const std::string large(200'000, 'x');
  const std::string bytes = framed("first") + framed("") + framed(large) + framed("last");
  for (const std::size_t step : {1u, 3u, 7u, 4096u, 150'000u, 1'000'000u}) {
    CAPTURE(step);
    Inbox inbox;
    std::vector<std::string> messages;
    for (std::size_t at = 0; at < bytes.size(); at += step) {
      inbox.append(std::string_view(bytes).substr(at, step));
      while (true) {
        const auto size = inbox.message_size(1 << 20);
        REQUIRE(size);
        if (!*size) {
          break;
        }
        if (inbox.size() < grpc_prefix_bytes + **size) {
          inbox.expect_message(**size);
          break;
        }
        messages.push_back(inbox.take_message(**size));
      }
    }
    CHECK(messages == std::vector<std::string>{"first", "", large, "last"});
    CHECK(inbox.empty());
  }
}

TEST_CASE("a message past the limit is refused by its prefix alone") {
  Inbox inbox;
  inbox.append(std::string_view("\0\0\0\1\1", 5));
  CHECK(**inbox.message_size(257) == 257);
  const auto size = inbox.message_size(256);
  REQUIRE(!size);
  CHECK(size.error().code() == Code::resource_exhausted);
}

TEST_CASE("a compressed message is refused") {
  Inbox inbox;
  inbox.append(std::string_view("\1\0\0\0\0", 5));
  const auto size = inbox.message_size(256);
  REQUIRE(!size);
  CHECK(size.error().code() == Code::unimplemented);
}

TEST_CASE("an inbox that is never empty keeps nothing of what was read") {
  Inbox in_pieces;
  in_pieces.append("the rest that is always there");
  Inbox of_messages;
  const std::string bytes(64u << 10, 'x');
  const auto prefix = grpc_prefix(bytes.size());
  const std::string message = std::string(prefix.begin(), prefix.end()) + bytes;
  of_messages.append(message);
  for (int i = 0; i < 200; ++i) {
    in_pieces.append(bytes);
    CHECK(in_pieces.take(bytes.size()).size() == bytes.size());
    of_messages.append(message);
    CHECK(of_messages.take_message(bytes.size()) == bytes);
  }
  CHECK(in_pieces.memory_bytes() < (1u << 20));
  CHECK(of_messages.memory_bytes() < (1u << 20));
  CHECK(in_pieces.take(1000).ends_with("xxx"));
  CHECK(of_messages.take_message(bytes.size()) == bytes);
  CHECK(of_messages.empty());
}

TEST_CASE("an inbox is also read in pieces") {
  Inbox inbox;
  inbox.append("0123456789");
  CHECK(inbox.take(4) == "0123");
  CHECK(inbox.take(4) == "4567");
  inbox.append("ab");
  CHECK(inbox.take(100) == "89ab");
  CHECK(inbox.empty());
}
