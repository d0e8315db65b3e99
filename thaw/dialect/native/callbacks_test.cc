// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/callbacks.h"

#include <doctest/doctest.h>

#include "thaw/codec/http_message.h"

using namespace thaw;
using namespace thaw::dialect::native;
using codec::Json;

namespace {

const gateway::SinkRules no_rules{};

net::Headers headers(std::vector<std::pair<std::string, std::string>> fields) {
  net::Headers out;
  out.fields = std::move(fields);
  return out;
}
Code refusal(std::vector<std::pair<std::string, std::string>> fields) {
  const auto read = read_callbacks(headers(std::move(fields)), no_rules);
  return read ? Code::ok : read.error().code();
}

queue::CallbackTurn turn_of(const std::string& type, std::string body, int status = 200) {
  codec::HttpResponseMessage answer;
  answer.status = status;
  answer.headers = {{"content-type", type}};
  answer.body = std::move(body);
  queue::CallbackTurn turn;
  turn.call = model::CallId("fc-1");
  turn.entry.emplace();
  turn.entry->number = 3;
  turn.entry->kind = model::LogEntry::Kind::final_;
  turn.entry->payload = {*codec::write_http(answer), std::string(codec::http_content_type)};
  return turn;
}
Json result_of(const std::string& type, const std::string& body) {
  return json_of(turn_of(type, body), "f", "http://here/r")["data"]["result"];
}

}  // namespace

TEST_CASE("callbacks are read from a request's headers") {
  CHECK(read_callbacks(headers({{"accept", "*/*"}}), no_rules)->empty());
  const auto read = read_callbacks(headers({{"thaw-callback", "https://Hooks.Example/x"},
                                            {"thaw-callback-on", "started, final"},
                                            {"thaw-callback-for", "60"},
                                            {"thaw-callback", "function:next"}}),
                                   no_rules);
  REQUIRE(read);
  REQUIRE(read->size() == 2);
  CHECK(read->at(0).sink == "https://Hooks.Example/x");
  CHECK(read->at(0).receiver == "https://hooks.example:443");
  CHECK(read->at(0).wants == model::CallbackWants{true, false, true});
  CHECK(read->at(0).try_for == Duration(1min));
  CHECK(read->at(0).dialect == "native");
  CHECK(read->at(1).receiver == "function:next");
  CHECK(callbacks_text(*read) != callbacks_text({}));
}

TEST_CASE("a header that makes no sense is refused, and an address that alone tells too much") {
  const std::pair<std::string, std::string> good{"thaw-callback", "http://hooks.example/"};
  CHECK(refusal({good}) == Code::ok);
  for (const char* on : {"", "end", "final,", "final;output", "Final"}) {
    CAPTURE(on);
    CHECK(refusal({good, {"thaw-callback-on", on}}) == Code::invalid_argument);
  }
  for (const char* seconds : {"", "0", "-1", "604801", "1 h", "99999999999999999999"}) {
    CAPTURE(seconds);
    CHECK(refusal({good, {"thaw-callback-for", seconds}}) == Code::invalid_argument);
  }
  for (const char* sink : {"", "hooks.example", "ftp://a/", "function:", "file:///etc/passwd"}) {
    CAPTURE(sink);
    CHECK(refusal({{"thaw-callback", sink}}) == Code::invalid_argument);
  }
  for (const char* sink : {"http://127.0.0.1/", "http://[::1]/", "http://0x7f000001/",
                           "http://169.254.169.254/", "http://10.0.0.1:80/"}) {
    CAPTURE(sink);
    CHECK(refusal({{"thaw-callback", sink}}) == Code::permission_denied);
  }
  CHECK(refusal({{"thaw-callback-on", "final"}}) == Code::invalid_argument);
}

TEST_CASE("a result is put by its content type, and what is no such thing in base64") {
  CHECK(result_of("application/json", R"({"a": 1})")["json"] == Json{{"a", 1}});
  CHECK(result_of("application/problem+json; charset=utf-8", "[1]")["json"] == Json::array({1}));
  CHECK(result_of("text/plain; charset=utf-8", "h\xc3\xa9")["text"] == "h\xc3\xa9");
  CHECK(result_of("text/plain", "\xff\xfe")["base64"] == "//4=");
  CHECK(result_of("application/json", "no json")["text"] == "no json");
  CHECK(result_of("application/octet-stream", "ab")["base64"] == "YWI=");
  CHECK(result_of("application/json", "1")["status"] == 200);
}

TEST_CASE("a result that is nested deep is text, so that nobody falls over it") {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  CHECK(result_of("application/json", deep)["text"] == deep);
  CHECK(result_of("application/json", "{\"a\": \"[[[[\\\"[[\"}").contains("json"));
}

TEST_CASE("a large result is a link to it, and one that was left out too") {
  const Json large = result_of("text/plain", std::string(300 << 10, 'x'));
  CHECK(large["bytes"] == 300 << 10);
  CHECK(large["url"] == "http://here/r");
  queue::CallbackTurn turn = turn_of("text/plain", "");
  turn.entry->payload = {};
  turn.left_out = 5'000'000;
  CHECK(json_of(turn, "f", "http://here/r")["data"]["result"]["bytes"] == 5'000'000);
}

TEST_CASE("an end without a result says what the platform says") {
  queue::CallbackTurn turn = turn_of("text/plain", "");
  turn.entry->payload = {};
  turn.entry->outcome = model::OutcomeKind::timeout;
  turn.entry->failure = std::make_shared<const model::Failure>(
      model::Failure{.type = "timeout", .message = "it ran past its limit"});
  const Json event = json_of(turn, "f", "http://here/r");
  CHECK(event["type"] == "call.final");
  CHECK(event["data"]["outcome"] == "timeout");
  CHECK(event["data"]["error"] == "it ran past its limit");
  CHECK(!event["data"].contains("result"));
  turn.entry->kind = model::LogEntry::Kind::status;
  CHECK(json_of(turn, "f", "http://here/r")["type"] == "call.started");
}
