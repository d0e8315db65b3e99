// SPDX-License-Identifier: Apache-2.0
//
// HTTP messages as calls hold them (application/http). What is read is read as the same when it is
// written anew, and the parser of connections, which is another one, reads the same head. An odd
// first byte: a response.
#include "thaw/codec/http_message.h"

#include <algorithm>

#include "tests/fuzz/target.h"
#include "thaw/net/detail/http1_parser.h"

namespace thaw::fuzz {

namespace {

using net::detail::Http1Parser;

// Where both may have a say; a message's body is its rest here, whatever its head says of it.
bool is_plain(const codec::HttpFields& fields) {
  return std::none_of(fields.begin(), fields.end(), [](const auto& field) {
    return field.first == "content-length" || field.first == "transfer-encoding" ||
           field.first == "connection" || field.first == "upgrade";
  });
}

template <class Message>
void check_parser(Http1Parser::Role role, const Message& message, const std::string& written) {
  if (!is_plain(message.headers)) {
    return;
  }
  Http1Parser parser(role, 1u << 20);
  const auto used = parser.put_head(written);
  if (!used) {
    expect_sentence(used.error());
    return;  // it refuses more, such as requests for nobody
  }
  expect(parser.head_done(), "a head that was written is whole");
  expect(parser.head().headers.fields == message.headers, "both read the same headers");
  if constexpr (std::is_same_v<Message, codec::HttpRequestMessage>) {
    expect(parser.head().method == message.method && parser.head().target == message.target,
           "both read the same request");
  } else {
    expect(parser.head().status == message.status, "both read the same status");
  }
}

template <class Message>
void check(Http1Parser::Role role, const Result<Message>& message,
           Result<Message> (*read)(std::string_view)) {
  if (!message) {
    expect_sentence(message.error());
    return;
  }
  const auto written = codec::write_http(*message);
  expect(written.has_value(), "what was read can be written");
  const auto again = read(*written);
  expect(again.has_value(), "and read again");
  expect(again->headers == message->headers && again->body == message->body &&
             codec::write_http(*again) == *written,
         "and is the same");
  check_parser(role, *message, *written);
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input);
  if (bytes.byte() % 2 == 0) {
    check(Http1Parser::Role::request, codec::read_http_request(bytes.rest()),
          codec::read_http_request);
  } else {
    check(Http1Parser::Role::response, codec::read_http_response(bytes.rest()),
          codec::read_http_response);
  }
}

}  // namespace thaw::fuzz
