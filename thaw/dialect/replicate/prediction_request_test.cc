// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/prediction_request.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::replicate;

namespace {

net::Headers headers_of(std::string name, std::string value) {
  net::Headers headers;
  headers.add(std::move(name), std::move(value));
  return headers;
}

std::optional<Duration> wait_of(const char* prefer) {
  return read_prediction_request("{}", headers_of("prefer", prefer))->wait;
}

Code wrong(const char* body) { return read_prediction_request(body, {}).error().code(); }

}  // namespace

TEST_CASE("a body says what a prediction is to be") {
  const auto request = read_prediction_request(
      R"({"version":"a/b:c","input":{"prompt":"hi"},"webhook":"https://x/","stream":true,
          "webhook_events_filter":["completed","logs"],"unknown":1})",
      {});
  REQUIRE(request);
  CHECK(request->version == "a/b:c");
  CHECK(request->input == codec::Json{{"prompt", "hi"}});
  CHECK(request->webhook == "https://x/");
  CHECK(request->events.completed);
  CHECK(request->events.logs);
  CHECK_FALSE(request->events.start);
  CHECK_FALSE(request->events.output);
  CHECK_FALSE(request->wait);
  CHECK(read_prediction_request("", {})->input == codec::Json::object());
}

TEST_CASE("what is wrong with a body is told") {
  CHECK(wrong("{") == Code::failed_precondition);
  CHECK(wrong("[]") == Code::invalid_argument);
  CHECK(wrong(R"({"version":1})") == Code::invalid_argument);
  CHECK(wrong(R"({"webhook":{}})") == Code::invalid_argument);
  CHECK(wrong(R"({"webhook_events_filter":["ended"]})") == Code::invalid_argument);
  CHECK(wrong(R"({"webhook_events_filter":"start"})") == Code::invalid_argument);
}

TEST_CASE("who waits says so, for 1 to 60 seconds") {
  CHECK(wait_of("wait") == 60s);
  CHECK(wait_of("wait=5") == 5s);
  CHECK(wait_of("respond-async, wait=2.5") == 2500ms);
  CHECK(wait_of("wait=1000") == 60s);
  CHECK(wait_of("wait=-1") == 1s);
  CHECK(wait_of("wait=nan") == 1s);
  CHECK(wait_of("wait=x") == 60s);
  CHECK_FALSE(wait_of("respond-async"));
}

TEST_CASE("spans of time") {
  CHECK(*read_time_span("90") == 90s);
  CHECK(*read_time_span("90s") == 90s);
  CHECK(*read_time_span("1h30m") == 90min);
  for (const char* text : {"", "4s", "25h", "1d", "m", "-5s", "9999999999999999999s", "5 s"}) {
    CAPTURE(text);
    CHECK_FALSE(read_time_span(text));
  }
}
