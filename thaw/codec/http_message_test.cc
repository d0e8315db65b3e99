// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/http_message.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::codec;

TEST_CASE("a request is read as what it was written as") {
  HttpRequestMessage message;
  message.method = "POST";
  message.target = "/predict?a=1&b=%20";
  message.headers = {{"content-type", "application/json"}, {"x-many", "1"}, {"x-many", "2"}};
  message.body = std::string("{\"a\": \"\0\r\n\r\n\"}", 15);
  const auto bytes = write_http(message);
  REQUIRE(bytes);
  const auto read = read_http_request(*bytes);
  REQUIRE(read);
  CHECK(read->method == message.method);
  CHECK(read->target == message.target);
  CHECK(read->headers == message.headers);
  CHECK(read->body == message.body);
}

TEST_CASE("a response is read as what it was written as") {
  const HttpResponseMessage message{503, {{"retry-after", "7"}}, "busy"};
  const auto bytes = write_http(message);
  REQUIRE(bytes);
  const auto read = read_http_response(*bytes);
  REQUIRE(read);
  CHECK(read->status == 503);
  CHECK(read->headers == message.headers);
  CHECK(read->body == "busy");
}

TEST_CASE("nothing is written that would be read as something else") {
  HttpRequestMessage message;
  SUBCASE("a method") { message.method = "GET /else"; }
  SUBCASE("no path") { message.target = "else"; }
  SUBCASE("a target with an end of line") { message.target = "/\r\nx: y"; }
  SUBCASE("a name") { message.headers = {{"x y", "1"}}; }
  SUBCASE("a value") { message.headers = {{"x", "1\r\ny: 2"}}; }
  CHECK(write_http(message).error().code() == Code::invalid_argument);
  CHECK(write_http(HttpResponseMessage{7, {}, ""}).error().code() == Code::invalid_argument);
}

TEST_CASE("bytes that are no message are refused") {
  for (const std::string& bytes :
       {std::string(), std::string("GET / HTTP/1.1"), std::string("GET / HTTP/1.1\r\n"),
        std::string("GET  HTTP/1.1\r\n\r\n"), std::string("GET / HTTP/2\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\nno header\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\na b: c\r\n\r\n"),
        std::string("GET / HTTP/1.1\r\na: b\nc: d\r\n\r\n"),
        "GET /" + std::string(300'000, 'a') + " HTTP/1.1\r\n\r\n", std::string(300'000, '\0')}) {
    CHECK(read_http_request(bytes).error().code() == Code::invalid_argument);
  }
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 2000; ++i) {
    many += "a: b\r\n";
  }
  CHECK(read_http_request(many + "\r\n").error().code() == Code::invalid_argument);
  for (const std::string bytes : {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000\r\n\r\n",
                                  "HTTP/1.1 0xx\r\n\r\n", "HTTP/1.1 099\r\n\r\n"}) {
    CHECK(read_http_response(bytes).error().code() == Code::invalid_argument);
  }
}
