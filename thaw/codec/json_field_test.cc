// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/json_field.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::codec;

namespace {

std::string at(std::string_view text, std::string_view pointer) {
  const auto found = find_json_field(text, pointer);
  return found ? *found : "error: " + found.error().message();
}

}  // namespace

TEST_CASE("a plain value is found wherever it is") {
  const std::string_view text =
      R"({"a": {"status": "no"}, "list": [1, {"b/c": true}, [5, 6.50]], "status": "READY",)"
      R"( "~": null, "": {"": -3}})";
  CHECK(at(text, "/status") == "READY");
  CHECK(at(text, "/a/status") == "no");
  CHECK(at(text, "/list/0") == "1");
  CHECK(at(text, "/list/1/b~1c") == "true");
  CHECK(at(text, "/list/2/1") == "6.50");
  CHECK(at(text, "/~0") == "null");
  CHECK(at(text, "//") == "-3");
  CHECK(at("7", "") == "7");
}

TEST_CASE("what is not there, or no plain value, is not found") {
  CHECK(at(R"({"a": {"b": 1}})", "/b") == "error: it is not there");
  CHECK(at(R"({"a": 1})", "/a/b") == "error: it is not there");
  CHECK(at(R"([[1]])", "/1") == "error: it is not there");
  CHECK(at(R"({"a": {"b": 1}, "b": 2})", "/a") == "error: it is no plain value");
  CHECK(at("", "/a") == "error: it is not there");
  CHECK(at("<html>", "/a") == "error: it is no JSON");
}

TEST_CASE("of a text that is cut off the values before its end are found") {
  const std::string text = R"({"status": "READY", "logs": ")" + std::string(100'000, 'x');
  CHECK(at(text, "/status") == "READY");
  CHECK(at(text, "/logs") == "error: it is not there");
  CHECK(at(text, "/after") == "error: it is not there");
  CHECK(at(std::string(1'000'000, '['), "/status") == "error: it is not there");
}

TEST_CASE("of several values the first one is meant") {
  CHECK(at(R"({"a": 1, "a": 2})", "/a") == "1");
}
