// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_parser.h"

#include <doctest/doctest.h>

#include "thaw/net/detail/http1_head.h"

namespace thaw::net::detail {
namespace {

using Role = Http1Parser::Role;

// Presents `bytes` in pieces of `step`, as a slow peer would; returns the body.
Result<std::string> parse(Http1Parser& parser, std::string_view bytes, std::size_t step) {
  std::string body;
  std::size_t begin = 0;
  std::size_t end = 0;
  while (!parser.done()) {
    const std::string_view input = bytes.substr(begin, end - begin);
    std::size_t used = 0;
    if (!input.empty()) {
      THAW_TRY(used, parser.head_done() ? parser.put_body(input, body) : parser.put_head(input));
      begin += used;
    }
    if (used == 0 && end == bytes.size()) {
      return Error::unavailable("more is needed");
    }
    if (used == 0) {
      end = std::min(bytes.size(), end + step);
    }
  }
  return body + "|" + std::string(bytes.substr(begin));
}

Result<std::string> parse_request(std::string_view bytes, std::size_t step = 1) {
  Http1Parser parser(Role::request, 8192);
  return parse(parser, bytes, step);
}

Code code_of(const Result<std::string>& result) {
  return result ? Code::ok : result.error().code();
}

TEST_CASE("a head has lower-case names in order of arrival") {
  Http1Parser parser(Role::request, 8192);
  REQUIRE(parse(parser, "GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-One: 1\r\nx-one:  2 \r\n\r\n", 1));
  CHECK(parser.head().method == "GET");
  CHECK(parser.head().target == "/a?b=c");
  CHECK(parser.head().headers.fields == std::vector<std::pair<std::string, std::string>>{
                                            {"host", "x"}, {"x-one", "1"}, {"x-one", "2"}});
  CHECK(parser.keep_alive());
}

TEST_CASE("a body ends where its length says and the next request stays") {
  for (const std::size_t step : {1u, 7u, 1000u}) {
    CHECK(parse_request("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabcGET /", step) ==
          std::string("abc|GET /"));
  }
}

TEST_CASE("chunks are joined; extensions and trailers are dropped") {
  const std::string_view request =
      "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
      "3;a=b\r\nabc\r\n4\r\ndefg\r\n0\r\nx-trailer: 1\r\n\r\nNEXT";
  for (const std::size_t step : {1u, 5u, 1000u}) {
    CHECK(parse_request(request, step) == std::string("abcdefg|NEXT"));
  }
}

TEST_CASE("what two parsers could read differently is refused") {
  const std::string_view post = "POST / HTTP/1.1\r\nhost: x\r\n";
  for (const std::string_view rest : {
           "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n",
           "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n",
           "content-length: 3\r\ncontent-length: 4\r\n\r\n",
           "content-length: 3, 4\r\n\r\n",
           "content-length: 3, 3\r\n\r\n",
           "content-length: 3,\r\n\r\n",
           "content-length: 3\r\ncontent-length: 3\r\n\r\n",
           "content-length: +3\r\n\r\n",
           "content-length: -3\r\n\r\n",
           "content-length: 0x3\r\n\r\n",
           "content-length: 99999999999999999999\r\n\r\n",
           "content-length:\r\n\r\n",
           "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
           "host: y\r\n\r\n",
           "x : 1\r\n\r\n",
           "x\r\n\r\n",
           ": 1\r\n\r\n",
           "x: a\nb: c\r\n\r\n",
           "x: a\rb: c\r\n\r\n",
           "x: a\x01\r\n\r\n",
           "x: a\x7f\r\n\r\n",
       }) {
    CAPTURE(rest);
    CHECK(code_of(parse_request(std::string(post) + std::string(rest))) == Code::invalid_argument);
  }
  CHECK(code_of(parse_request(std::string(post) + "transfer-encoding: gzip\r\n\r\n")) ==
        Code::unimplemented);
  CHECK(code_of(parse_request(std::string(post) + "transfer-encoding: gzip, chunked\r\n\r\n")) ==
        Code::unimplemented);
  CHECK(code_of(parse_request(std::string(post) + "transfer-encoding: xchunked\r\n\r\n")) ==
        Code::unimplemented);
}

TEST_CASE("a malformed request line is refused") {
  for (const std::string_view line : {
           "GET\r\n",
           "GET /\r\n",
           "GET / HTTP/2.0\r\n",
           "GET / HTTP/1.2\r\n",
           "GET  / HTTP/1.1\r\n",
           "GE T / HTTP/1.1\r\n",
           "G\x01T / HTTP/1.1\r\n",
           "GET /\x01 HTTP/1.1\r\n",
           "\r\n",
           "GET / HTTP/1.1 \r\n",
           "GET / http/1.1\r\n",
           "GET example HTTP/1.1\r\n",
           "GET ftp://x/ HTTP/1.1\r\n",
           "GET http://a@b/ HTTP/1.1\r\n",
           "GET * HTTP/1.1\r\n",
       }) {
    CAPTURE(line);
    CHECK(code_of(parse_request(std::string(line) + "host: x\r\n\r\n")) == Code::invalid_argument);
  }
  CHECK(code_of(parse_request("GET / HTTP/1.1\r\n\r\n")) == Code::invalid_argument);
  CHECK(code_of(parse_request("GET / HTTP/1.0\r\n\r\n")) == Code::ok);
}

TEST_CASE("a Host that is none is refused in words") {
  const auto refusal = [](const std::string& hosts) {
    const auto parsed = parse_request("GET / HTTP/1.1\r\n" + hosts + "\r\n", 1000);
    return parsed ? "none"
                  : std::string(code_name(parsed.error().code())) + ": " + parsed.error().message();
  };
  const std::string front = "invalid_argument: the message is not valid HTTP/1.1: ";
  CHECK(refusal("") == front + "it has no Host");
  CHECK(refusal("host: a\r\nhost: a\r\n") == front + "it has more than one Host");
  CHECK(refusal("host:\r\n") == front + "the Host is empty");
  CHECK(refusal("host: a@b\r\n") == front + "the Host has a user in front of its host");
  CHECK(refusal("host: a b\r\n") == front + "the Host has characters that no host has");
  CHECK(refusal("host: a/b\r\n") == front + "the Host has characters that no host has");
  CHECK(refusal("host: a:x\r\n") == front + "the Host has a port that is no number up to 65535");
  CHECK(refusal("host: a_b:65535\r\n") == "none");
  CHECK(refusal("host: [::1]:80\r\n") == "none");
}

TEST_CASE("a malformed chunk is refused") {
  const std::string head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const std::string_view body :
       {"x\r\n", "3\r\nabcX\r\n0\r\n", "-1\r\n", "fffffffffffffffff\r\n", "3 \r\nabc\r\n",
        "\r\n\r\n", "0\r\nbad trailer\r\n\r\n", "0\r\ncontent-length: 3\r\n\r\n",
        "0\r\nx: a\nb: c\r\n\r\n", "0\r\nx: a\rb: c\r\n\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a=\"\r\nabc\"\r\n0\r\n\r\n", "3;a=\"x\ny\"\r\nabc\r\n0\r\n\r\n",
        "0;a=\"x\ny\"\r\n\r\n"}) {
    CAPTURE(body);
    CHECK(code_of(parse_request(head + std::string(body))) == Code::invalid_argument);
  }
}

TEST_CASE("a head past the limit is refused") {
  const std::string huge(9000, 'a');
  CHECK(code_of(parse_request("GET /" + huge + " HTTP/1.1\r\nhost: x\r\n\r\n", 512)) ==
        Code::resource_exhausted);
  CHECK(code_of(parse_request("GET / HTTP/1.1\r\nhost: x\r\nx: " + huge + "\r\n\r\n", 512)) ==
        Code::resource_exhausted);
  std::string many = "GET / HTTP/1.1\r\nhost: x\r\n";
  for (int i = 0; i < 3000; ++i) {
    many += "a: b\r\n";
  }
  for (const std::size_t step : {1u, 100u, 4096u, 100'000u}) {
    CHECK(code_of(parse_request(many + "\r\n", step)) == Code::resource_exhausted);
  }
}

TEST_CASE("a response without a length lasts until the end of the stream") {
  Http1Parser parser(Role::response, 8192);
  const std::string_view bytes = "HTTP/1.1 200 OK\r\n\r\nabc";
  CHECK(code_of(parse(parser, bytes, 4)) == Code::unavailable);
  CHECK(!parser.done());
  CHECK(parser.put_eof());
  CHECK(parser.done());
  CHECK(!parser.keep_alive());
}

TEST_CASE("a response that ends early is an error") {
  for (const std::string_view bytes :
       {"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", "HTTP/1.1 200"}) {
    Http1Parser parser(Role::response, 8192);
    CHECK(code_of(parse(parser, bytes, 4)) == Code::unavailable);
    CHECK(!parser.put_eof());
  }
}

TEST_CASE("a status below 100 is none") {
  for (const std::string_view bytes : {"HTTP/1.1 004 x\r\n\r\n", "HTTP/1.1 099 x\r\n\r\n"}) {
    Http1Parser parser(Role::response, 8192);
    CHECK(code_of(parse(parser, bytes, 4)) == Code::invalid_argument);
  }
}

TEST_CASE("answers to HEAD and answers with 204 or 304 have no body") {
  Http1Parser head(Role::response, 8192);
  head.expect_no_body();
  CHECK(parse(head, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nNEXT", 1) == std::string("|NEXT"));
  Http1Parser not_modified(Role::response, 8192);
  CHECK(parse(not_modified, "HTTP/1.1 304 -\r\ncontent-length: 5\r\n\r\n", 1) == std::string("|"));
}

TEST_CASE("a parser reads one message after another") {
  Http1Parser parser(Role::request, 8192);
  REQUIRE(parse(parser, "GET /1 HTTP/1.1\r\nhost: x\r\n\r\n", 9));
  parser.reset();
  REQUIRE(parse(parser, "GET /2 HTTP/1.1\r\nhost: x\r\n\r\n", 9));
  CHECK(parser.head().target == "/2");
  CHECK(parser.head().headers.fields.size() == 1);
}

TEST_CASE("chunks in random pieces are joined, and broken ones never crash") {
  std::uint64_t seed = 7;
  const auto random = [&seed](std::size_t bound) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>(seed >> 33) % bound;
  };
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    const std::size_t head = bytes.size();
    std::string body;
    for (std::size_t chunks = random(4); chunks > 0; --chunks) {
      const std::string data(1 + random(40), "0\r\nx"[random(4)]);
      bytes += chunk_head(data.size()) + data + "\r\n";
      body += data;
    }
    bytes += random(2) == 0 ? "0\r\n\r\n" : "000;x=y\r\na: b\r\n\r\n";
    if (round % 2 == 0) {
      CHECK(parse_request(bytes, 1 + random(20)) == body + "|" + "");
      continue;
    }
    bytes[head + random(bytes.size() - head)] = "0\r\n;a\xff"[random(6)];
    (void)parse_request(bytes, 1 + random(6));
  }
}

TEST_CASE("random bytes neither crash nor hang the parser") {
  std::uint64_t seed = 42;
  const std::string_view alphabet = "GET /HTP1.\r\n:; chunked0123abcdef\x80\xff";
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = round % 2 == 0 ? ""
                                       : "POST / HTTP/1.1\r\nhost: x\r\n"
                                         "transfer-encoding: chunked\r\n\r\n";
    for (int i = 0; i < 80; ++i) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      bytes += alphabet[(seed >> 33) % alphabet.size()];
    }
    (void)parse_request(bytes, 1 + static_cast<std::size_t>(round % 9));
  }
}

TEST_CASE("a header that would end its line early is not written") {
  HeadWriter head(200);
  CHECK(head.add_checked("x-good", "a b"));
  CHECK(!head.add_checked("x-bad", "a\r\nset-cookie: b"));
  CHECK(!head.add_checked("x bad", "a"));
  CHECK(!head.add_checked("", "a"));
  CHECK(std::move(head).end() == "HTTP/1.1 200 OK\r\nx-good: a b\r\n\r\n");
}

TEST_CASE("lists of tokens are searched without regard to case") {
  Headers headers;
  headers.add("connection", "keep-alive, Upgrade");
  CHECK(has_token(headers, "connection", "upgrade"));
  CHECK(!has_token(headers, "connection", "close"));
}

TEST_CASE("dates are written the way of HTTP") {
  CHECK(http_date(WallTime(std::chrono::seconds(784111777))) == "Sun, 06 Nov 1994 08:49:37 GMT");
}

TEST_CASE("one transfer coding in one field, and nothing else") {
  const std::string head = "POST / HTTP/1.1\r\nhost: x\r\n";
  const std::string body = "\r\n0\r\n\r\n";
  CHECK(parse_request(head + "transfer-encoding: chunked\r\n" + body));
  for (const std::string fields :
       {"transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n",
        "transfer-encoding: identity\r\n", "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding: chunked, chunked\r\n", "transfer-encoding:\r\n"}) {
    for (const std::size_t step : {1u, 1000u}) {
      CAPTURE(fields);
      CHECK(code_of(parse_request(head + fields + body, step)) != Code::ok);
      CHECK(code_of(parse_request(head + fields + body, step)) != Code::unavailable);
    }
  }
}

TEST_CASE("a folded line of a request is refused") {
  for (const std::string fields :
       {"x: a\r\n b\r\n", "x: a\r\n\tb\r\n", "x:\r\n b\r\n", "transfer-encoding:\r\n chunked\r\n",
        " x: a\r\n", "x: a\r\n \r\n"}) {
    for (const std::size_t step : {1u, 5u, 1000u}) {
      CAPTURE(fields);
      const auto parsed =
          parse_request("GET / HTTP/1.1\r\nhost: x\r\n" + fields + "\r\n0\r\n\r\n", step);
      CHECK(code_of(parsed) == Code::invalid_argument);
    }
  }
}

TEST_CASE("a chunk larger than any body is refused") {
  const std::string head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
  for (const std::string size : {"ffffffffffffffff", "8000000000000000", "fffffffffffffffff",
                                 "1ffffffffffffffff", "-1", "+5", ""}) {
    CAPTURE(size);
    CHECK(code_of(parse_request(head + size + "\r\nabc", 1000)) == Code::invalid_argument);
  }
  CHECK(code_of(parse_request(head + "0x5\r\n\r\n", 1000)) == Code::invalid_argument);
}

TEST_CASE("a few empty lines before a request are passed over") {
  for (const std::size_t step : {1u, 2u, 1000u}) {
    CHECK(parse_request("\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", step) == std::string("|"));
    CHECK(parse_request("\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n", step) == std::string("|"));
    CHECK(code_of(parse_request("\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", step)) ==
          Code::invalid_argument);
  }
}

TEST_CASE("what stands behind a chunked body is kept, within bounds") {
  Http1Parser parser(Role::request, 8192);
  const std::string head = "POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
  REQUIRE(parse(parser, head + "1\r\na\r\n0\r\nX-Sum: 1\r\nb: 2\r\n\r\n", 1000));
  CHECK(parser.trailers().find("x-sum") == "1");
  CHECK(parser.trailers().find("b") == "2");
  CHECK_FALSE(parser.head().headers.find("x-sum"));
  std::string many;
  for (int i = 0; i < 40; ++i) {
    many += "x" + std::to_string(i) + ": " + std::string(1000, 'y') + "\r\n";
  }
  CHECK(code_of(parse_request(head + "0\r\n" + many + "\r\n", 1000)) == Code::invalid_argument);
}

TEST_CASE("every status has words") {
  CHECK(HeadWriter(205).end().starts_with("HTTP/1.1 205 Reset Content\r\n"));
  CHECK(HeadWriter(418).end().starts_with("HTTP/1.1 418 I'm a teapot\r\n"));
  CHECK(HeadWriter(451).end().starts_with("HTTP/1.1 451 Unavailable For Legal Reasons\r\n"));
  CHECK(HeadWriter(299).end().starts_with("HTTP/1.1 299 Success\r\n"));
  CHECK(HeadWriter(799).end().starts_with("HTTP/1.1 799 Unknown\r\n"));
}

TEST_CASE("only what may run twice is sent twice") {
  CHECK(is_idempotent("GET"));
  CHECK(is_idempotent("DELETE"));
  CHECK_FALSE(is_idempotent("POST"));
  CHECK_FALSE(is_idempotent("PATCH"));
  CHECK_FALSE(is_idempotent("get"));
}

}  // namespace
}  // namespace thaw::net::detail
