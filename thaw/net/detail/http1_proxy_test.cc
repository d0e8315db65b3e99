// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/http1_proxy.h"

#include <doctest/doctest.h>

#include "thaw/net/detail/http1_head.h"

namespace thaw::net::detail {
namespace {

HttpRequest request_of(std::string method, Headers headers) {
  HttpRequest request;
  request.method = std::move(method);
  request.target = "/a?b=c";
  request.version = "1.1";
  request.authority = "label.example";
  request.headers = std::move(headers);
  return request;
}

std::string rendered(const HttpRequest& request, const ProxyOptions& options) {
  const auto head = proxied_head(request, options);
  if (!head) {
    return std::string(code_name(head.error().code()));
  }
  const auto text = render(*head, request);
  return text ? *text : std::string(code_name(text.error().code()));
}

TEST_CASE("a request goes upstream with its host and without its connection's headers") {
  Headers headers;
  headers.add("host", "label.example");
  headers.add("connection", "close, x-hop");
  headers.add("x-hop", "1");
  headers.add("accept", "*/*");
  headers.add("transfer-encoding", "chunked");
  CHECK(rendered(request_of("POST", headers), {}) ==
        "POST /a?b=c HTTP/1.1\r\nhost: label.example\r\naccept: */*\r\n"
        "transfer-encoding: chunked\r\n\r\n");
}

TEST_CASE("headers of the caller replace those of the client") {
  Headers headers;
  headers.add("x-forwarded-for", "6.6.6.6");
  headers.add("content-length", "3");
  ProxyOptions options;
  options.target = "/other";
  options.add_headers.add("x-forwarded-for", "1.2.3.4");
  CHECK(rendered(request_of("POST", headers), options) ==
        "POST /other HTTP/1.1\r\nhost: label.example\r\nx-forwarded-for: 1.2.3.4\r\n"
        "content-length: 3\r\n\r\n");
}

TEST_CASE("what is withheld of the client does not go upstream") {
  Headers headers;
  headers.add("x-secret", "s");
  headers.add("x-open", "o");
  ProxyOptions options;
  options.withholds = [](std::string_view name) { return name == "x-secret"; };
  CHECK(rendered(request_of("GET", headers), options) ==
        "GET /a?b=c HTTP/1.1\r\nhost: label.example\r\nx-open: o\r\n\r\n");
}

TEST_CASE("only an upgrade to WebSocket goes upstream") {
  Headers headers;
  headers.add("connection", "Upgrade, HTTP2-Settings");
  headers.add("upgrade", "h2c");
  headers.add("http2-settings", "AAMAAABkAAQ");
  CHECK(rendered(request_of("GET", headers), {}) ==
        "GET /a?b=c HTTP/1.1\r\nhost: label.example\r\n\r\n");
  Headers websocket;
  websocket.add("connection", "keep-alive, Upgrade");
  websocket.add("upgrade", "WebSocket");
  CHECK(rendered(request_of("GET", websocket), {}) ==
        "GET /a?b=c HTTP/1.1\r\nhost: label.example\r\nconnection: upgrade\r\n"
        "upgrade: websocket\r\n\r\n");
}

TEST_CASE("what would end a line early does not go upstream") {
  HttpRequest request = request_of("GET", {});
  request.target = "/a HTTP/1.1\r\nx: y";
  CHECK(rendered(request, {}) == "internal");
  Headers headers;
  headers.add("x", "a\r\nb: c");
  CHECK(rendered(request_of("GET", headers), {}) == "internal");
  headers.fields = {{"content-length", "3x"}};
  CHECK(rendered(request_of("POST", headers), {}) == "invalid_argument");
}

TEST_CASE("an HTTP/2 request does not tell whether it has a body") {
  HttpRequest request = request_of("GET", {});
  request.version = "2";
  const auto head = proxied_head(request, {});
  REQUIRE(head);
  CHECK(head->body == ProxiedHead::Body::unknown);
}

TEST_CASE("an answer keeps repeated headers and their order") {
  Headers headers;
  headers.add("set-cookie", "a");
  headers.add("connection", "x-hop");
  headers.add("x-hop", "1");
  headers.add("set-cookie", "b");
  headers.add("keep-alive", "timeout=5");
  CHECK(proxied_answer(headers).fields ==
        std::vector<std::pair<std::string, std::string>>{{"set-cookie", "a"}, {"set-cookie", "b"}});
}

TEST_CASE("thousands of headers and thousands of names in connection are taken apart alike") {
  Headers headers;
  std::string names;
  std::vector<std::pair<std::string, std::string>> stay;
  for (int i = 0; i < 6'000; ++i) {
    const std::string name = "x-" + std::to_string(i);
    headers.add(name, "1");
    if (i % 2 == 0) {
      names +=
          (names.empty() ? "" : ", ") + std::string(i % 4 == 0 ? "X-" : "x-") + std::to_string(i);
    } else {
      stay.emplace_back(name, "1");
    }
  }
  headers.add("connection", names);
  headers.add("connection", "x-1");
  stay.erase(stay.begin());
  CHECK(proxied_answer(headers).fields == stay);
  const auto head = proxied_head(request_of("GET", headers), {});
  REQUIRE(head);
  CHECK(head->headers.size() == stay.size() + 1);  // and the host
}

TEST_CASE("fields behind a body go on, but not those that decide what it is") {
  Headers trailers;
  trailers.add("x-sum", "1");
  trailers.add("content-length", "5");
  trailers.add("transfer-encoding", "chunked");
  trailers.add("host", "other");
  trailers.add("authorization", "x");
  trailers.add("x-forwarded-for", "1.2.3.4");
  CHECK(last_chunk(trailers) == "0\r\nx-sum: 1\r\n\r\n");
  CHECK(last_chunk(Headers()) == "0\r\n\r\n");
}

}  // namespace
}  // namespace thaw::net::detail
