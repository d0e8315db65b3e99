// SPDX-License-Identifier: Apache-2.0
//
// Any bytes as an HTTP/1.1 connection. The parser understands the same whether they come whole or
// in pieces, and what it understood is read as the same again when it is written anew; a server
// answers just the requests that the parser found, and its answers are HTTP. The first byte says
// which side speaks, the second how the bytes come.
#include <algorithm>
#include <optional>
#include <vector>

#include "tests/fuzz/connection.h"
#include "tests/fuzz/target.h"
#include "thaw/net/detail/http1_head.h"
#include "thaw/net/detail/http1_parser.h"

namespace thaw::fuzz {

namespace {

using net::Headers;
using net::detail::Http1Parser;

// Small, so that it is met.
constexpr std::size_t header_bytes = 4u << 10;

struct Message {
  std::string method;
  std::string target;
  int status = 0;
  int minor_version = 1;
  Headers headers;
  std::string body;
  Headers trailers;
  bool keep_alive = false;
};

bool is_same(const Message& a, const Message& b) {
  return a.method == b.method && a.target == b.target && a.status == b.status &&
         a.minor_version == b.minor_version && a.headers.fields == b.headers.fields &&
         a.body == b.body && a.trailers.fields == b.trailers.fields && a.keep_alive == b.keep_alive;
}

struct Found {
  std::vector<Message> messages;
  std::optional<Error> error;
  Message unfinished;  // its head was whole
  bool has_head = false;
};

// The next message, taken off `rest`; false when there is no other. `piece` bytes come at a time.
Result<bool> next_message(Http1Parser& parser, std::string_view& rest, std::size_t piece,
                          Found& found) {
  std::size_t there = 0;
  const auto more = [&] {
    const bool is_over = there == rest.size();
    there = std::min(rest.size(), there + piece);
    return !is_over;
  };
  bool has_begun = false;
  while (!parser.head_done()) {
    if (!more()) {
      if (has_begun || there > 0) {
        return Error::invalid_argument("the head is cut short");
      }
      return false;
    }
    THAW_TRY(const std::size_t used, parser.put_head(rest.substr(0, there)));
    expect(used <= there, "no more is used than there is");
    has_begun = has_begun || used > 0;
    rest.remove_prefix(used);
    there -= used;
  }
  Message& message = found.unfinished = Message();
  found.has_head = true;
  message.method = parser.head().method;
  message.target = parser.head().target;
  message.status = parser.head().status;
  message.minor_version = parser.head().minor_version;
  message.headers = parser.head().headers;
  while (!parser.done()) {
    THAW_TRY(const std::size_t used, parser.put_body(rest.substr(0, there), message.body));
    expect(used <= there, "no more is used than there is");
    rest.remove_prefix(used);
    there -= used;
    if (used == 0 && !parser.done() && !more()) {
      THAW_TRY_VOID(parser.put_eof());
      expect(parser.done(), "a message that may end with its connection has ended");
    }
  }
  message.trailers = parser.trailers();
  message.keep_alive = parser.keep_alive();
  return true;
}

Found parse(Http1Parser::Role role, std::string_view input, std::size_t piece) {
  Found found;
  Http1Parser parser(role, header_bytes);
  while (true) {
    const auto next = next_message(parser, input, piece, found);
    if (!next) {
      expect_sentence(next.error());
      found.error = next.error();
      return found;
    }
    if (!*next) {
      return found;
    }
    found.has_head = false;
    found.messages.push_back(std::move(found.unfinished));
    if (!found.messages.back().keep_alive) {
      return found;
    }
    parser.reset();
  }
}

// What was understood, in other words.
std::string written(const Message& message) {
  net::detail::HeadWriter head = message.status > 0
                                     ? net::detail::HeadWriter(message.status)
                                     : net::detail::HeadWriter(message.method, message.target);
  bool is_chunked = false;
  for (const auto& [name, value] : message.headers.fields) {
    expect(head.add_checked(name, value).has_value(), "a header that was read can be written");
    is_chunked = is_chunked || name == "transfer-encoding";
  }
  std::string text = std::move(head).end();
  const bool is_silent =
      message.status / 100 == 1 || message.status == 204 || message.status == 304;
  if (!is_chunked || is_silent) {
    return text + message.body;
  }
  if (!message.body.empty()) {
    text += net::detail::chunk_head(message.body.size()) + message.body + "\r\n";
  }
  text += "0\r\n";
  for (const auto& [name, value] : message.trailers.fields) {
    text += name + ": " + value + "\r\n";
  }
  return text + "\r\n";
}

void check_again(Http1Parser::Role role, const Message& message) {
  if (message.minor_version == 0) {
    return;  // it is written as 1.1, which has other rules
  }
  if (role == Http1Parser::Role::request) {
    expect(net::detail::check_request_line(message.method, message.target).has_value(),
           "a request line that was read can be written");
  }
  const auto hops = net::detail::tokens_of(message.headers, "connection");
  for (const auto& [name, value] : message.headers.fields) {
    expect(std::binary_search(hops.begin(), hops.end(), name) ==
               net::detail::has_token(message.headers, "connection", name),
           "a list of tokens is searched alike in two ways");
  }
  Http1Parser parser(role, 2 * header_bytes);
  const std::string text = written(message);
  std::string_view rest = text;
  Found again;
  const auto next = next_message(parser, rest, text.size() + 1, again);
  expect(next && *next && rest.empty(), "what was read can be read again");
  expect(is_same(message, again.unfinished), "and is the same then");
}

async::Task<void> echo(net::HttpExchange& exchange) {
  THAW_CO_TRY(std::string body, co_await exchange.read_all(1 << 20));
  Headers headers;
  headers.add("x-method", exchange.request().method);
  headers.add("content-length", std::to_string(body.size()));
  co_return co_await exchange.respond_whole(200, std::move(headers), std::move(body));
}

// The answers to `asked` are those of echo(), in order, and then perhaps one that refuses.
void check_answers(const Found& asked, std::string_view answers) {
  std::size_t count = 0;
  bool has_refused = false;
  const std::size_t heads = asked.messages.size() + (asked.has_head ? 1 : 0);
  while (!answers.empty()) {
    Http1Parser parser(Http1Parser::Role::response, 64u << 10);
    const bool is_head =
        count < heads &&
        (count < asked.messages.size() ? asked.messages[count] : asked.unfinished).method == "HEAD";
    if (is_head) {
      parser.expect_no_body();
    }
    Found found;
    const auto next = next_message(parser, answers, answers.size(), found);
    expect(next && *next, "what a server sends is HTTP");
    const Message& answer = found.unfinished;
    if (answer.status == 100) {
      continue;
    }
    expect(!has_refused, "nothing follows a refusal");
    if (answer.status == 200) {
      expect(count < asked.messages.size(), "only a whole request is served");
      const Message& request = asked.messages[count];
      expect(answer.headers.find("x-method") == request.method, "the answer is to its request");
      expect(is_head || answer.body == request.body, "the server and the parser read one body");
    } else {
      expect(answer.status >= 400, "a request is served or refused");
      has_refused = true;
    }
    ++count;
  }
  expect(count >= asked.messages.size(), "each whole request is answered");
}

}  // namespace

void run(std::string_view input) {
  Bytes bytes(input.substr(0, most_input_bytes));
  const std::uint8_t side = bytes.byte();
  const std::size_t piece = 1 + bytes.byte() % 61u;
  const std::string_view said = bytes.rest();
  const auto role = side % 2 == 0 ? Http1Parser::Role::request : Http1Parser::Role::response;
  const Found whole = parse(role, said, said.size() + 1);
  const Found pieces = parse(role, said, piece);
  expect(whole.error.has_value() == pieces.error.has_value(),
         "what is an error does not depend on how the bytes come");
  expect(whole.messages.size() == pieces.messages.size() &&
             std::equal(whole.messages.begin(), whole.messages.end(), pieces.messages.begin(),
                        is_same),
         "what is understood does not depend on how the bytes come");
  for (const Message& message : whole.messages) {
    check_again(role, message);
  }
  if (role == Http1Parser::Role::request) {
    static const net::HttpHandler handler = echo;
    const std::size_t at_once = side / 2 % 2 == 0 ? 0 : said.size() / 2;
    check_answers(whole, serve_connection(said.substr(0, at_once), said.substr(at_once), handler,
                                          header_bytes));
  }
}

}  // namespace thaw::fuzz
