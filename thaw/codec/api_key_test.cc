// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/api_key.h"

#include <doctest/doctest.h>

#include <random>

using namespace thaw;
using codec::ApiKey;

namespace {

const ApiKey key{"ak-0123456789abcdefABCDEF", "as-_-34567890123456789012345678901234567890123"};

}  // namespace

TEST_CASE("whatever a key begins with, it is the same token") {
  for (const char* prefix : {"", "r8_", "sk-", "sk-proj-", "hf_", "thaw_", "a_b-c_", "-", "_"}) {
    CAPTURE(prefix);
    REQUIRE(codec::is_key_prefix(prefix));
    const std::string text = codec::api_key_text(prefix, key);
    CHECK(text.size() == std::string_view(prefix).size() + 65);
    const auto read = codec::parse_api_key(text);
    REQUIRE(read);
    CHECK(*read == key);
  }
}

TEST_CASE("an id and a secret with a colon between are a key, of any length") {
  for (const ApiKey& each : {key, ApiKey{"ak-1", "s"}}) {
    const auto read = codec::parse_api_key(each.id + ":" + each.secret);
    REQUIRE(read);
    CHECK(*read == each);
  }
  CHECK(codec::api_key_text("r8_", {"ak-1", "s"}) == "ak-1:s");
}

TEST_CASE("what is no key is told so, without a word of it") {
  const std::string whole = codec::api_key_text("", key);
  const std::string token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0." + std::string(43, 'a');
  for (const std::string& wrong :
       {std::string(), std::string("r8_"), whole.substr(1), "r8" + whole, "r.8_" + whole,
        std::string(25, '_') + whole, whole + "\n", whole + " ", "r8_" + whole + "=", token,
        std::string(65, '-'), std::string(":"), std::string("a:"), std::string(":b"),
        std::string("a:b:c"), std::string("a b:c"), std::string("user:password"),
        std::string(600, 'a'), std::string("ak-1:") + std::string(1, '\0')}) {
    CAPTURE(wrong);
    const auto read = codec::parse_api_key(wrong);
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == Code::invalid_argument);
    CHECK((wrong.size() < 20 || read.error().message().find(wrong) == std::string::npos));
  }
}

TEST_CASE("a key that is read is the one that is written, and no other text is it") {
  std::mt19937 random(1);
  const std::string text = codec::api_key_text("", key);
  for (int i = 0; i < 5'000; ++i) {
    std::string other = text;
    other[random() % other.size()] = static_cast<char>(random() % 256);
    const auto read = codec::parse_api_key(other);
    CHECK((!read || other == text || *read != key));
  }
}
