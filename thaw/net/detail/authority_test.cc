// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/authority.h"

#include <doctest/doctest.h>

namespace thaw::net::detail {
namespace {

HttpRequest taken(std::string target) {
  HttpRequest request;
  request.authority = "old";
  request.target = std::move(target);
  take_absolute_target(request);
  return request;
}

TEST_CASE("a host is a name or an address, with a port or without") {
  for (const std::string_view good :
       {"x", "label.example", "a_b.example", "xn--bcher-kva.example", "127.0.0.1", "localhost:8700",
        "x:0", "x:65535", "x:", "[::1]", "[::1]:80", "[2001:db8::ff]:8700", "[::ffff:1.2.3.4]"}) {
    CAPTURE(good);
    CHECK(check_authority(good, "the Host"));
  }
  using std::string_view_literals::operator""sv;
  for (const std::string_view bad :
       {""sv,         ":80"sv,       "a@b"sv,     "@"sv,          "a b"sv,    "a/b"sv,
        "a?b"sv,      "a#b"sv,       "a\\b"sv,    "a,b"sv,        "a\x01"sv,  "a\0b"sv,
        "a\x7f"sv,    "a\xc3\xa4"sv, "a%41"sv,    "a:b"sv,        "a:-1"sv,   "a:+1"sv,
        "a:65536"sv,  "a:8 0"sv,     "a:80:80"sv, "::1"sv,        "[::1"sv,   "[::1]x"sv,
        "[]"sv,       "[1.2.3.4]"sv, "[::1]:x"sv, "[::1%eth0]"sv, "x[::1]"sv, "a:000080"sv,
        "http://a"sv, "a\tb"sv,      "[::1]\0"sv, "[::1\0x]"sv,   "\"a\""sv}) {
    CAPTURE(bad);
    const Result<void> checked = check_authority(bad, "the Host");
    REQUIRE_FALSE(checked);
    CHECK(checked.error().code() == Code::invalid_argument);
    CHECK(checked.error().message().starts_with("the Host "));
  }
  CHECK_FALSE(check_authority(std::string(300, 'a'), "the Host"));
}

TEST_CASE("a target is a path, an http address in any case, or what its method allows") {
  for (const std::string_view good : {"/", "//a", "/a?b#c", "http://x", "HTTP://x/a", "https://x?a",
                                      "HtTpS://[::1]:8/a", "http://x:/"}) {
    CAPTURE(good);
    CHECK(check_target("GET", good));
  }
  CHECK(check_target("OPTIONS", "*"));
  CHECK(check_target("CONNECT", "x:80"));
  for (const std::string_view bad :
       {"*", "a", "x:80", "?a", "http:/x", "http:x", "http://", "http:///a", "http://a@b/",
        "http://a b/", "http://a:x/", "http://a#b", "http://a\\b/", "ftp://x/", "file:///etc"}) {
    CAPTURE(bad);
    CHECK_FALSE(check_target("GET", bad));
  }
}

TEST_CASE("an absolute target names the authority") {
  CHECK(taken("http://new:80?q=1").authority == "new:80");
  CHECK(taken("http://new:80?q=1").target == "/?q=1");
  CHECK(taken("HTTP://new/a?q=1").authority == "new");
  CHECK(taken("HTTP://new/a?q=1").target == "/a?q=1");
  CHECK(taken("hTTps://new").target == "/");
  CHECK(taken("/http://new/").authority == "old");
  CHECK(taken("/http://new/").target == "/http://new/");
}

}  // namespace
}  // namespace thaw::net::detail
