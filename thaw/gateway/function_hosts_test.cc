// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/function_hosts.h"

#include <doctest/doctest.h>

namespace thaw::gateway {

TEST_CASE("only LABEL.DOMAIN is a function's host, in any case, with any port") {
  const FunctionHosts hosts("127.0.0.1:8700", "fn.example.com");
  CHECK(hosts.label_of("app-f.fn.example.com") == "app-f");
  CHECK(hosts.label_of("APP-f.Fn.Example.COM.:8700") == "app-f");
  CHECK(hosts.label_of("app-f.localhost:8700") == "app-f");
  for (const char* other :
       {"", "app-f", "fn.example.com", "app-f.example.com", "a.b.fn.example.com", ".localhost",
        "localhost", "localhost:8700", "app-f.localhost.evil.com", "app_f.localhost",
        "-a.localhost", "app-f.xfn.example.com"}) {
    CHECK_MESSAGE(!hosts.label_of(other), other);
  }
}

TEST_CASE("an address is never a function's host, nor is the server's own name") {
  const FunctionHosts hosts("app.fn.example.com:80", "fn.example.com");
  for (const char* own :
       {"127.0.0.1", "127.0.0.1:80", "127.1", "10.0.0.7:8700", "[::1]:8700", "[127::1]", "::1",
        "app.fn.example.com", "APP.fn.example.com.:443", "thaw.fn.example.com", "www.localhost"}) {
    CHECK_MESSAGE(!hosts.label_of(own), own);
  }
  CHECK(hosts.label_of("app2.fn.example.com") == "app2");
}

TEST_CASE("a label is refused that is a number, reserved, or no DNS label") {
  for (const char* good : {"a", "my-app-f", "1a", "1-2", "api", "x127"}) {
    CHECK_MESSAGE(check_label(good), good);
  }
  for (const char* bad : {"", "127", "0", "thaw", "localhost", "www", "A", "a_b", "a.b", "-a", "a-",
                          "a--b", "xn--a", "a b", "a/b", "\xc3\xa9"}) {
    CHECK_MESSAGE(!check_label(bad), bad);
  }
  CHECK(check_label(std::string(63, 'a')));
  CHECK(!check_label(std::string(64, 'a')));
}

TEST_CASE("the domain of functions is a name") {
  for (const char* good : {"localhost", "fn.example.com", "a-b.c"}) {
    CHECK_MESSAGE(check_domain(good), good);
  }
  for (const char* bad : {"", "127.0.0.1", "a.1", "Fn.example.com", ".a", "a.", "a..b", "a:80",
                          "*.a", "a/b", "[::1]"}) {
    CHECK_MESSAGE(!check_domain(bad), bad);
  }
}

}  // namespace thaw::gateway
