// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/sse_reader.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::codec;

namespace {

std::string read(std::string_view text, std::size_t piece) {
  SseReader reader(1'000);
  std::string told;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    const auto events = reader.take(text.substr(at, piece));
    REQUIRE(events);
    for (const SseEvent& event : *events) {
      told += event.name + "[" + event.data + "]";
    }
  }
  return told;
}

}  // namespace

TEST_CASE("events are the same whatever the pieces in which they come") {
  const std::string text =
      ": keep-alive\n\nevent: log\ndata: {\"a\":1}\n\nevent:output\r\ndata:x\r\ndata: y\r\n\r\n"
      "event: nothing\n\ndata: bare\n\nevent: cut\ndata: off";
  for (const std::size_t piece : {1u, 2u, 3u, 7u, 1'000u}) {
    CHECK(read(text, piece) == "log[{\"a\":1}]output[x\ny][bare]");
  }
}

TEST_CASE("an event that does not end is refused") {
  SseReader in_a_line(100);
  CHECK(in_a_line.take(std::string(99, 'x')));
  CHECK(in_a_line.take("xx").error().code() == Code::resource_exhausted);
  SseReader in_lines(100);
  CHECK(in_lines.take("data: " + std::string(90, 'x') + "\n"));
  CHECK(in_lines.take("data: " + std::string(90, 'x') + "\n").error().code() ==
        Code::resource_exhausted);
}

TEST_CASE("what is written is read as it was, but for how its lines end") {
  CHECK(write_sse("3-1", "output", "a") == "event: output\nid: 3-1\ndata: a\n\n");
  CHECK(read(write_sse("1", "output", "a\nb\r\nc\rd"), 5) == "output[a\nb\nc\nd]");
  CHECK(read(write_sse("1", "output", ""), 5) == "output[]");
  CHECK(read(write_sse("1", "output", "\n"), 5) == "output[\n]");
}
