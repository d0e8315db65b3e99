// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/run_request.h"

#include <doctest/doctest.h>

#include "thaw/dialect/workers_ai/completion_talk.h"
#include "thaw/dialect/workers_ai/server_request.h"

using namespace thaw;
using namespace thaw::dialect::workers_ai;
using codec::Json;

namespace {

std::string inputs_of(std::string_view body, std::string_view type, const Json& more = nullptr) {
  const auto request = read_run_request(body, type, more);
  return request ? codec::dump_json(request->inputs) : "error: " + request.error().message();
}

}  // namespace

TEST_CASE("a body is JSON, a form or a file") {
  CHECK(inputs_of(R"({"prompt":"a"})", "application/json") == R"({"prompt":"a"})");
  // As curl sends what is given to it, without a word about its type.
  CHECK(inputs_of(R"({"prompt":"a"})", "application/x-www-form-urlencoded") == R"({"prompt":"a"})");
  CHECK(inputs_of("\x89PNG...", "application/x-www-form-urlencoded")
            .starts_with(R"({"image":"data:image/png;base64,)"));
  CHECK(inputs_of("RIFF\1\1\1\1WAVE", "") ==
        R"({"audio":"data:audio/x-wav;base64,UklGRgEBAQFXQVZF"})");
  CHECK(inputs_of("abc", "audio/mpeg; x=y", {{"language", "en"}}) ==
        R"({"audio":"data:audio/mpeg;base64,YWJj","language":"en"})");
  const std::string form =
      "--B\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na cat\r\n"
      "--B\r\nContent-Disposition: form-data; name=\"steps\"\r\n\r\n4\r\n"
      "--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n"
      "Content-Type: image/png\r\n\r\nabc\r\n--B--\r\n";
  CHECK(inputs_of(form, "multipart/form-data; boundary=B") ==
        R"({"image":"data:image/png;base64,YWJj","prompt":"a cat","steps":4})");
}

TEST_CASE("a body that is none of these is told") {
  for (const auto& [body, type] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "application/json"},
           {"{", "application/json"},
           {"{", ""},
           {"[]", "application/json"},
           {"7", "application/json"},
           {R"({"stream":"yes"})", "application/json"},
           {R"({"queueRequest":true})", "application/json"},
           {"--B\r\n", "multipart/form-data; boundary=B"},
           {"abc", "multipart/form-data"}}) {
    CAPTURE(body);
    CHECK(inputs_of(body, type).starts_with("error: "));
  }
}

TEST_CASE("whether it streams is no input") {
  const auto request = read_run_request(R"({"prompt":"a","stream":true})", "application/json", {});
  REQUIRE(request);
  CHECK(request->streams);
  CHECK(codec::dump_json(request->inputs) == R"({"prompt":"a"})");
}

TEST_CASE("a server of language models is asked in its own words") {
  const auto asked = [](const Json& given, bool streams = false) {
    const auto request = server_request(given, "m", streams);
    return request ? request->path + " " + codec::dump_json(request->body)
                   : "error: " + request.error().message();
  };
  CHECK(asked({{"prompt", "a"}, {"max_tokens", 3}, {"other", 1}}) ==
        R"(/v1/chat/completions {"max_tokens":3,"messages":[{"content":"a","role":"user"}],)"
        R"("model":"m","stream":false})");
  CHECK(asked({{"prompt", "a"}, {"raw", true}}) ==
        R"(/v1/completions {"model":"m","prompt":"a","stream":false})");
  CHECK(asked({{"text", {"a", "b"}}}) == R"(/v1/embeddings {"input":["a","b"],"model":"m"})");
  const Json user = Json::array({{{"role", "user"}, {"content", "a"}}});
  CHECK(asked({{"messages", user}, {"tools", Json::array({{{"name", "f"}}})}}, true) ==
        R"(/v1/chat/completions {"messages":[{"content":"a","role":"user"}],"model":"m",)"
        R"("stream":true,"stream_options":{"include_usage":true},)"
        R"("tools":[{"function":{"name":"f"},"type":"function"}]})");
  for (const Json& given :
       {Json(7), Json::object(), Json{{"prompt", 7}}, Json{{"messages", 7}}, Json{{"text", 7}},
        Json{{"audio", {1}}}, Json{{"text", "a"}, {"target_lang", "fr"}}}) {
    CHECK(asked(given).starts_with("error: "));
  }
}

TEST_CASE("a conversation tells events as they come, and an answer as a whole") {
  CompletionConversation streams(write_completion_input("/v1/x", "{}"));
  REQUIRE(streams.request());
  CHECK(streams.request()->target == "/v1/x");
  CHECK(streams.request()->body == "{}");
  CHECK(*streams.take("data: {\"usage\"") == "");
  CHECK(*streams.take(":1}\n\ndata: {\"choices\":[]}\n\n") == "{\"usage\":1}\n{\"choices\":[]}\n");
  CHECK(*streams.take(": a comment\n\ndata: 7\n\ndata: {}\n\ndata: [DONE]\n\n") == "");
  CompletionConversation whole(write_completion_input("/v1/x", "{}"));
  CHECK(*whole.take("{\"a\"") == "");
  CHECK(*whole.take(":1}") == "");
  const auto ending = read_completion_ending("200\n{\"a\":1}");
  REQUIRE(ending);
  CHECK(ending->status == 200);
  CHECK(ending->body == "{\"a\":1}");
  CHECK_FALSE(read_completion_ending("no number\n"));
  CHECK_FALSE(read_completion_ending(""));
}
