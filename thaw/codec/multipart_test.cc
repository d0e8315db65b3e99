// SPDX-License-Identifier: Apache-2.0
#include "thaw/codec/multipart.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::codec;

namespace {

std::string read(std::string_view body, std::size_t piece, bool& is_done) {
  auto reader = MultipartReader::of_type("multipart/form-data; boundary=XX");
  REQUIRE(reader);
  std::string told;
  for (std::size_t at = 0; at < body.size(); at += piece) {
    const auto events = reader->take(body.substr(at, piece));
    if (!events) {
      return "refused";
    }
    for (const PartEvent& event : *events) {
      told += event.kind == PartEvent::Kind::begin
                  ? "<" + event.head.name + "|" + event.head.file_name + "|" +
                        event.head.content_type + ">"
              : event.kind == PartEvent::Kind::end ? "</>"
                                                   : event.bytes;
    }
  }
  is_done = reader->is_done();
  return told;
}

}  // namespace

TEST_CASE("parts are the same whatever the pieces in which they come") {
  const std::string body =
      "--XX\r\nContent-Disposition: form-data; name=\"content\"; filename=\"a \\\"b\\\".txt\"\r\n"
      "Content-Type: text/plain\r\n\r\nline\r\n--X not the end\r\n\r\n--XX\r\n"
      "content-disposition: form-data; name=metadata\r\n\r\n{}\r\n--XX--\r\n";
  for (const std::size_t piece : {1u, 2u, 5u, 13u, 1'000u}) {
    bool is_done = false;
    CHECK(read(body, piece, is_done) ==
          "<content|a \"b\".txt|text/plain>line\r\n--X not the end\r\n</>"
          "<metadata||>{}</>");
    CHECK(is_done);
  }
}

TEST_CASE("a body that is cut off is not done") {
  bool is_done = true;
  CHECK(read("--XX\r\na: b\r\n\r\nbytes", 100, is_done).starts_with("<||>"));
  CHECK_FALSE(is_done);
}

TEST_CASE("a body that is none is refused, whatever it is") {
  bool is_done = false;
  CHECK(read(std::string(20'000, 'x'), 1'000, is_done) == "refused");
  CHECK(read("--XXnothing", 100, is_done) == "refused");
  CHECK(read("--XX\r\n" + std::string(20'000, 'h'), 1'000, is_done) == "refused");
  CHECK_FALSE(MultipartReader::of_type("application/json"));
  CHECK_FALSE(MultipartReader::of_type("multipart/form-data"));
  CHECK_FALSE(MultipartReader::of_type("multipart/form-data; boundary=" + std::string(300, 'x')));
}
