// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/credentials.h"

#include <doctest/doctest.h>

#include "thaw/codec/encoding.h"

using namespace thaw;
using namespace thaw::gateway;

namespace {

const codec::ApiKey token{"ak-0123456789abcdefABCDEF",
                          "as-_-34567890123456789012345678901234567890123"};
const std::vector<CredentialHeaders> more = {{"their-key", "their-secret"}, {"x-their-key", ""}};

std::optional<Credential> in(std::vector<std::pair<std::string, std::string>> fields) {
  return credential_in(net::Headers{std::move(fields)}, more);
}

}  // namespace

TEST_CASE("a token is found in whichever header its client is used to") {
  const std::string key = codec::api_key_text("", token);
  const std::string pair = token.id + ":" + token.secret;
  for (const std::string& text : {key, "r8_" + key, "sk-" + key, "hf_" + key, pair}) {
    CAPTURE(text);
    for (const std::string& value :
         {"Bearer " + text, "bearer  " + text, "BEARER " + text, "Token " + text, text,
          "Basic " + codec::base64_encode("anybody:" + text),
          "basic " + codec::base64_encode(":" + text)}) {
      CAPTURE(value);
      const auto found = in({{"authorization", value}});
      REQUIRE(found);
      CHECK(found->key == token);
      CHECK(found->headers == std::vector<std::string>{"authorization"});
    }
    for (const char* name : {"api-key", "x-api-key", "x-their-key"}) {
      CAPTURE(name);
      const auto found = in({{name, text}});
      REQUIRE(found);
      CHECK(found->key == token);
      CHECK(found->headers == std::vector<std::string>{name});
    }
  }
  const auto basic = in({{"authorization", "Basic " + codec::base64_encode(pair)}});
  REQUIRE(basic);
  CHECK(basic->key == token);
  const auto two = in({{"their-key", token.id}, {"their-secret", token.secret}});
  REQUIRE(two);
  CHECK(two->key == token);
  CHECK(two->headers == std::vector<std::string>{"their-key", "their-secret"});
}

TEST_CASE("what is meant for somebody else is no token") {
  for (const std::string& value :
       {std::string(), std::string("Bearer"), std::string("Bearer "), std::string("Bearer a b"),
        std::string("Basic"), std::string("Basic !!!"), "Basic " + codec::base64_encode("nothing"),
        "Basic " + codec::base64_encode("user:password"), std::string("Digest username=x"),
        std::string("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"),
        std::string("AWS4-HMAC-SHA256 Credential=A/20150830/r/s/aws4_request"),
        "Bearer " + std::string(100'000, 'a')}) {
    CAPTURE(value.substr(0, 80));
    CHECK_FALSE(in({{"authorization", value}}));
  }
  CHECK_FALSE(in({{"their-key", token.id}}));
  CHECK_FALSE(in({{"their-secret", token.secret}}));
}

TEST_CASE("a header for somebody else leaves the others to be a token's") {
  const std::string key = codec::api_key_text("", token);
  const auto found = in({{"authorization", "Bearer of-the-server-inside"}, {"api-key", key}});
  REQUIRE(found);
  CHECK(found->headers == std::vector<std::string>{"api-key"});
}

TEST_CASE("a cloud's own pair of headers, which nobody sends by chance, comes first") {
  const auto found = in({{"authorization", "Bearer app_" + std::string(65, 'a')},
                         {"their-key", token.id},
                         {"their-secret", token.secret}});
  REQUIRE(found);
  CHECK(found->key == token);
  CHECK(found->headers == std::vector<std::string>{"their-key", "their-secret"});
}
