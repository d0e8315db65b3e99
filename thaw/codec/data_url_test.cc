// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/data_url.h"

#include <doctest/doctest.h>

using namespace thaw::codec;

TEST_CASE("data URLs are read in both of their forms") {
  const auto text = read_data_url("data:text/plain;base64,aGVsbG8gaGk=");
  REQUIRE(text);
  CHECK(text->content_type == "text/plain");
  CHECK(text->bytes == "hello hi");
  const auto escaped = read_data_url("data:,a%20b");
  REQUIRE(escaped);
  CHECK(escaped->content_type == "application/octet-stream");
  CHECK(escaped->bytes == "a b");
  CHECK(read_data_url(write_data_url("image/png", "\x01\x02"))->bytes == "\x01\x02");
}

TEST_CASE("what is no data URL is not taken for one") {
  for (const char* text :
       {"", "data:", "data:text/plain;base64,***", "http://x/y,z", "data:text/plain;base64"}) {
    CAPTURE(text);
    CHECK_FALSE(read_data_url(text));
  }
}

TEST_CASE("a type that would break a header is none") {
  CHECK(read_data_url("data:a\r\nb: c,x")->content_type == "application/octet-stream");
}

TEST_CASE("types and endings of files") {
  CHECK(ending_of("image/png") == ".png");
  CHECK(ending_of("text/plain; charset=utf-8") == ".txt");
  CHECK(ending_of("application/x-unknown").empty());
  CHECK(type_of("a.b.jpeg") == "image/jpeg");
  CHECK(type_of("README") == "application/octet-stream");
}
