// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "thaw/codec/encoding.h"
#include "thaw/codec/ids.h"
#include "thaw/codec/json.h"
#include "thaw/codec/pickle.h"
#include "thaw/codec/prometheus.h"
#include "thaw/codec/sha256.h"
#include "thaw/codec/utf8.h"

using namespace thaw::codec;

TEST_CASE("values that are nested deeper than a stack has room for are no JSON") {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  CHECK(parse_json(nested(512)));
  CHECK_FALSE(parse_json(nested(513)));
  CHECK_FALSE(parse_json(nested(10'000'000)));
  // Many beside each other, and brackets inside of texts, are not deep.
  std::string wide = "[";
  for (int i = 0; i < 1'000; ++i) {
    wide += "{\"[\\\"[\":[]},";
  }
  CHECK(parse_json(wide + "0]"));
}

TEST_CASE("base64 of every length comes back") {
  std::string text;
  for (int i = 0; i < 40; ++i) {
    CHECK(*base64_decode(base64_encode(text)) == text);
    text += static_cast<char>(i * 7);
  }
  CHECK_FALSE(base64_decode("abc"));
  CHECK_FALSE(base64_decode("a$=="));
  for (const char* odd : {"A===", "====", "=AAA", "A=AA", "AAA\n", "  QUJD", "QUJD----", "QR=="}) {
    CAPTURE(odd);
    CHECK_FALSE(base64_decode(odd));
  }
  CHECK(base64url_encode("\xff\xfe") == "__4");
  CHECK(base64url_decode("__4") == "\xff\xfe");
  CHECK(base64url_decode("") == "");
  for (const char* wrong : {"__4=", "//4", "_", "__5", "_ _4"}) {
    CHECK(!base64url_decode(wrong));
  }
}

TEST_CASE("ids have the shapes that clients check") {
  for (int i = 0; i < 200; ++i) {
    CHECK(has_id_shape(random_id("ap"), "ap"));
    const std::string container = random_container_id();
    CHECK(container.size() == 29);
    CHECK(container.back() != 'V');
  }
  CHECK_FALSE(has_id_shape("ap-", "ap"));
  CHECK_FALSE(has_id_shape("ap-a/../b", "ap"));
  CHECK_FALSE(has_id_shape("fu-abc", "ap"));
}

TEST_CASE("a query value is decoded and a missing one is empty") {
  CHECK(query_value("a=1&name=x%20y&name=z", "name") == "x y");
  CHECK(query_value("names=1", "name").empty());
  CHECK(percent_decode("%zz%4") == "%zz%4");
}

TEST_CASE("a pickle has the documented bytes") {
  PickleWriter writer;
  writer.begin_tuple().text("a").bytes("b").begin_list().integer(-1).none().end_list().end_tuple();
  const std::string expected("\x80\x04(X\x01\0\0\0aB\x01\0\0\0b(J\xff\xff\xff\xffNlt.", 25);
  CHECK(writer.finish() == expected);
}

TEST_CASE("bad JSON is an error and bad UTF-8 in JSON is replaced") {
  CHECK_FALSE(parse_json("{"));
  CHECK(dump_json(Json("\xff")) == "\"\xef\xbf\xbd\"");
}

TEST_CASE(
    "what is wrong with JSON is said in a sentence of some length, however long the JSON is") {
  const auto long_text = parse_json("\"" + std::string(100'000, 'x'));
  REQUIRE_FALSE(long_text);
  CHECK(long_text.error().message().starts_with("not valid JSON: "));
  CHECK(long_text.error().message().find("line 1, column 100002") != std::string::npos);
  CHECK(long_text.error().message().size() < 500);
  const auto no_text = parse_json("\"\xff\"");
  REQUIRE_FALSE(no_text);
  CHECK(valid_utf8(no_text.error().message()) == no_text.error().message());
}

TEST_CASE("metrics are written in the text format, labels escaped") {
  PrometheusText text;
  text.metric("thaw_starts_total", MetricType::counter, "Container starts.");
  text.sample(3, {{"level", "L4"}, {"name", "a\"b\n"}}).sample(0.5);
  CHECK(text.str() ==
        "# HELP thaw_starts_total Container starts.\n# TYPE thaw_starts_total counter\n"
        "thaw_starts_total{level=\"L4\",name=\"a\\\"b\\n\"} 3\nthaw_starts_total 0.5\n");
}

TEST_CASE("a digest does not depend on how its bytes are cut") {
  Sha256 digest;
  digest.update("a");
  digest.update("bc");
  CHECK(digest.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
