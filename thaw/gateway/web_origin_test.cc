// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_origin.h"

#include <doctest/doctest.h>

#include "thaw/net/ip_address.h"

namespace thaw::gateway {

namespace {

net::HttpRequest request_from(const std::string& peer,
                              std::vector<std::pair<std::string, std::string>> headers) {
  net::HttpRequest request;
  request.scheme = "http";
  request.authority = "10.0.0.1:8700";
  request.peer.address = peer;
  request.headers.fields = std::move(headers);
  return request;
}

const std::vector<std::pair<std::string, std::string>> forwarded = {
    {"x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1"},
    {"x-forwarded-proto", "https"},
    {"x-forwarded-host", "app.example.com"}};

std::string kept(const std::string& location, const std::string& root_path = "/web/app") {
  net::Headers headers;
  headers.add("location", location);
  keep_below({"http", "thaw.example.com:8700", "1.2.3.4:5"}, root_path, headers);
  return headers.fields[0].second;
}

}  // namespace

TEST_CASE("what stands beside an application belongs to others, wherever it is") {
  CHECK(kept("/login", "/fn/app") == "/fn/app/login");
  CHECK(kept("/web/login", "/fn/app") == "/fn/app/web/login");
  CHECK(kept("/fn/other/login", "/fn/app") == "/fn/other/login");
  CHECK(kept("/fn/login", "/web/app") == "/web/app/fn/login");
}

TEST_CASE("a trusted proxy says who asks, how and where") {
  const auto proxies = TrustedProxies::parse({"10.0.0.0/8"});
  const WebOrigin origin = proxies->origin_of(request_from("10.2.3.4:99", forwarded));
  CHECK(origin.scheme == "https");
  CHECK(origin.authority == "app.example.com");
  // The nearest that is no trusted proxy: what stands further out anybody can have written.
  CHECK(origin.client == "203.0.113.9:0");
}

TEST_CASE("what stands behind a NUL makes no address of what stands in front of it") {
  using std::string_literals::operator""s;
  CHECK_FALSE(TrustedProxies::parse({"10.0.0.1\0x"s}));
  CHECK_FALSE(net::IpAddress::parse("10.0.0.1\0x"s));
  CHECK_FALSE(net::IpNetwork::parse("::1\0/128"s));
  const auto proxies = TrustedProxies::parse({"10.0.0.0/8"});
  CHECK(proxies->origin_of(request_from("10.2.3.4:99", {{"x-forwarded-for", "1.2.3.4\0x"s}}))
            .client == "10.2.3.4:99");
}

TEST_CASE("a stranger says nothing") {
  const auto proxies = TrustedProxies::parse({"10.0.0.0/8", "::1"});
  for (const char* peer : {"11.0.0.1:99", "127.0.0.1:99", "[::2]:99"}) {
    const WebOrigin origin = proxies->origin_of(request_from(peer, forwarded));
    CHECK(origin.scheme == "http");
    CHECK(origin.authority == "10.0.0.1:8700");
    CHECK(origin.client == peer);
  }
  CHECK(proxies->origin_of(request_from("[::1]:99", forwarded)).scheme == "https");
  CHECK(TrustedProxies().origin_of(request_from("10.2.3.4:99", forwarded)).scheme == "http");
}

TEST_CASE("what no proxy writes is not taken from a trusted one either") {
  const auto proxies = TrustedProxies::parse({"10.0.0.1"});
  const WebOrigin origin =
      proxies->origin_of(request_from("10.0.0.1:99", {{"x-forwarded-for", "1.1.1.1, unknown"},
                                                      {"x-forwarded-proto", "gopher"},
                                                      {"x-forwarded-host", "a b\r\nc"}}));
  CHECK(origin.scheme == "http");
  CHECK(origin.authority == "10.0.0.1:8700");
  CHECK(origin.client == "10.0.0.1:99");
}

TEST_CASE("networks are addresses with or without a length") {
  CHECK(TrustedProxies::parse({"127.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "0.0.0.0/0"}));
  for (const char* bad : {"", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "::/129"}) {
    CHECK_MESSAGE(!TrustedProxies::parse({bad}), bad);
  }
}

TEST_CASE("where an application sends its caller to stays below its path, in every form") {
  CHECK(kept("/there?x=1") == "/web/app/there?x=1");
  CHECK(kept("http://thaw.example.com:8700/there") == "http://thaw.example.com:8700/web/app/there");
  CHECK(kept("https://Thaw.example.com:8700") == "https://Thaw.example.com:8700/web/app/");
  CHECK(kept("//thaw.example.com:8700/there") == "//thaw.example.com:8700/web/app/there");
  CHECK(kept("/webby") == "/web/app/webby");
  for (const char* as_it_is :
       {"/web/app", "/web/app/x", "/web/app?x", "http://thaw.example.com:8700/web/app/x",
        "/web/other/", "there", "../x", "?x=1", "", "http://elsewhere.example/there",
        "//elsewhere.example/there", "mailto:a@b", "x?y=http://thaw.example.com:8700/z"}) {
    CHECK(kept(as_it_is) == as_it_is);
  }
}

}  // namespace thaw::gateway
