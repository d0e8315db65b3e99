// SPDX-License-Identifier: Apache-2.0
//
// Small encodings: each is the reverse of its other half, one text stands for one value, and UTF-8
// is what the JSON library, which has a reader of its own, takes for it. JSON that is read is read
// as the same when it is written anew.
#include "thaw/codec/encoding.h"

#include "tests/fuzz/target.h"
#include "thaw/codec/json.h"
#include "thaw/codec/utf8.h"

namespace thaw::fuzz {

namespace {

void check_base64(const std::string& text) {
  const auto decoded = codec::base64_decode(codec::base64_encode(text));
  expect(decoded && *decoded == text, "base64 is decoded as what was encoded");
  const auto read = codec::base64_decode(text);
  if (!read) {
    expect_sentence(read.error());
    return;
  }
  expect(codec::base64_encode(*read) == text, "one value has one text in base64");
}

void check_hex(const std::string& text) {
  const auto decoded = codec::hex_decode(codec::hex_encode(text));
  expect(decoded && *decoded == text, "hex is decoded as what was encoded");
  if (const auto read = codec::hex_decode(text)) {
    expect(codec::hex_encode(*read).size() == text.size(), "two digits are a byte");
  } else {
    expect_sentence(read.error());
  }
}

void check_percent(const std::string& text) {
  std::string encoded;
  for (const char c : text) {
    encoded += "%" + codec::hex_encode({&c, 1});
  }
  expect(codec::percent_decode(encoded) == text, "what is percent-encoded is decoded");
  expect(codec::percent_decode(text).size() <= text.size(), "decoding makes nothing longer");
  expect(codec::query_value("a=1&n=" + encoded + "&b=2", "n") == text, "a query has its values");
}

bool is_utf8(const std::string& text) {
  try {
    (void)codec::Json(text).dump();
    return true;
  } catch (const codec::Json::exception&) {
    return false;
  }
}

void check_utf8(const std::string& text) {
  const std::string valid = codec::valid_utf8(text);
  expect((valid == text) == is_utf8(text), "UTF-8 is what two readers take for it");
  expect(is_utf8(valid), "what is made valid is valid");
  for (std::size_t most = 0; most <= std::min<std::size_t>(text.size(), 9); ++most) {
    const std::size_t cut = codec::cut_utf8(valid, most);
    expect(cut <= most && (most < 4 || valid.empty() || cut > 0), "a cut gets on");
    expect(most < 4 || is_utf8(valid.substr(0, cut)), "and goes through no character");
  }
}

void check_json(const std::string& text) {
  const auto json = codec::parse_json(text);
  if (!json) {
    expect_sentence(json.error());
    return;
  }
  const std::string written = codec::dump_json(*json);
  const auto again = codec::parse_json(written);
  expect(again && codec::dump_json(*again) == written, "JSON that was written is read as the same");
}

}  // namespace

void run(std::string_view input) {
  const std::string text(input);
  check_base64(text);
  check_hex(text);
  check_percent(text.substr(0, 256));
  check_utf8(text);
  check_json(text);
}

}  // namespace thaw::fuzz
