// SPDX-License-Identifier: Apache-2.0
#include "thaw/image/registry_auth.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::image;

TEST_CASE("a challenge is Basic, or says where tokens are given out") {
  CHECK(read_challenge("Basic realm=\"x\"")->scheme == AuthChallenge::Scheme::basic);
  CHECK(read_challenge("basic")->scheme == AuthChallenge::Scheme::basic);
  const auto bearer = read_challenge(
      "Bearer realm=\"https://auth.lan/token\",service=\"reg.lan\", "
      "scope=\"repository:a/b:pull,push\"");
  REQUIRE(bearer);
  CHECK(bearer->scheme == AuthChallenge::Scheme::bearer);
  CHECK(bearer->realm == "https://auth.lan/token");
  CHECK(bearer->service == "reg.lan");
  CHECK(bearer->scope == "repository:a/b:pull,push");
  CHECK(read_challenge("BEARER realm=http://a/t")->realm == "http://a/t");
}

TEST_CASE("a challenge of another kind, or one that leads nowhere, is none") {
  for (const std::string text : {"", "Negotiate", "Bearer", "Bearer realm=", "Bearer =x",
                                 "Digest realm=\"x\"", "Bearer service=\"x\""}) {
    CAPTURE(text);
    CHECK(!read_challenge(text));
  }
  CHECK(!read_challenge("Bearer realm=\"" + std::string(10'000, 'x')));
  CHECK(read_challenge("Bearer realm=\"unended\\")->realm == "unended\\");
}

TEST_CASE("a token is asked for with the service and the scope, whatever bytes they have") {
  AuthChallenge challenge;
  challenge.realm = "https://auth.lan/token";
  CHECK(token_address(challenge, "a/b") ==
        "https://auth.lan/token?scope=repository%3Aa%2Fb%3Apull");
  challenge.realm = "https://auth.lan/token?x=1";
  challenge.service = "a&b c";
  challenge.scope = "s#";
  CHECK(token_address(challenge, "a/b") ==
        "https://auth.lan/token?x=1&service=a%26b%20c&scope=s%23");
}

TEST_CASE("a token is read by either name, and must be fit for a header") {
  CHECK(read_token("{\"token\": \"abc\"}").value() == "abc");
  CHECK(read_token("{\"access_token\": \"abc\"}").value() == "abc");
  for (const std::string text : {"", "[]", "{}", "{\"token\": 1}", "{\"token\": \"\"}",
                                 "{\"token\": \"a\\r\\nb\"}", "{\"token\": \"a b\"}"}) {
    CAPTURE(text);
    CHECK(!read_token(text));
  }
  CHECK(!read_token("{\"token\": \"" + std::string(100'000, 'x') + "\"}"));
}

TEST_CASE("a login is written as Basic") {
  CHECK(basic_authorization({"user", "pass:word"}) == "Basic dXNlcjpwYXNzOndvcmQ=");
}

TEST_CASE("what a registry complains of is one short line") {
  CHECK(registry_complaint("{\"errors\":[{\"code\":\"X\",\"message\":\"no such\\ntag\"}]}") ==
        "no such?tag");
  CHECK(registry_complaint("<html>").empty());
  CHECK(registry_complaint("{\"errors\":[1]}").empty());
  CHECK(registry_complaint("{\"errors\":[{\"message\":\"" + std::string(9'000, 'x') + "\"}]}")
            .size() == 300);
}
