// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/utf8.h"

#include <doctest/doctest.h>

using namespace thaw::codec;

TEST_CASE("good text stays as it is, bad bytes become replacement characters") {
  for (const char* good : {"", "plain\n", "ä€😀", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"}) {
    CHECK(valid_utf8(good) == good);
  }
  CHECK(valid_utf8("a\xff"
                   "b") == "a\uFFFDb");
  CHECK(valid_utf8("\xc3") == "\uFFFD");
  CHECK(valid_utf8("\xe2\x82") == "\uFFFD");
  CHECK(valid_utf8("\xe2\x82"
                   "a") == "\uFFFDa");
  CHECK(valid_utf8("\xc0\xaf") == "\uFFFD\uFFFD");            // overlong
  CHECK(valid_utf8("\xed\xa0\x80") == "\uFFFD\uFFFD\uFFFD");  // a surrogate
  CHECK(valid_utf8("\xf4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(valid_utf8("\x80\x80") == "\uFFFD\uFFFD");
  const std::string zero("a\0b", 3);
  CHECK(valid_utf8(zero) == zero);
  CHECK(valid_utf8(valid_utf8("\xf0\x9f\x98")) == "\uFFFD");
}

TEST_CASE("a text is cut between characters only") {
  CHECK(cut_utf8("abc", 5) == 3);
  CHECK(cut_utf8("abc", 2) == 2);
  CHECK(cut_utf8("aä", 2) == 1);
  CHECK(cut_utf8("a😀", 4) == 1);
  CHECK(cut_utf8("😀😀", 5) == 4);
  CHECK(cut_utf8("\x80\x80\x80\x80\x80\x80", 4) == 4);
  CHECK(cut_utf8("😀", 2) == 2);  // it does not fit at all
}

TEST_CASE("the beginning of a character at the end of a text is known") {
  CHECK(unfinished_utf8("") == 0);
  CHECK(unfinished_utf8("ab") == 0);
  CHECK(unfinished_utf8("aä") == 0);
  CHECK(unfinished_utf8("a\xc3") == 1);
  CHECK(unfinished_utf8("a\xe2\x82") == 2);
  CHECK(unfinished_utf8("\xf0\x9f\x98") == 3);
  CHECK(unfinished_utf8("😀") == 0);
  CHECK(unfinished_utf8("\x80\x80\x80\x80") == 0);  // the rest of none
  CHECK(unfinished_utf8("\xff") == 0);
  CHECK(unfinished_utf8("\xe0\x80") == 0);  // no third byte would make it one
}
