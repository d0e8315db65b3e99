// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/outputs.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::workers_ai;
using codec::Json;

namespace {

std::string shown(ModelTask task, const Json& output, const Json& metrics = Json::object()) {
  const auto result = result_of(task, {output}, metrics);
  return result ? codec::dump_json(*result) : "error: " + result.error().message();
}

}  // namespace

TEST_CASE("each task's output is in its clients' form") {
  struct Row {
    ModelTask task;
    Json output;
    const char* result;
  };
  const Json labels = Json::array(
      {{{"label", "cat"}, {"score", 0.25}, {"more", 1}}, {{"label", "dog"}, {"score", 0.75}}});
  const char* sorted = R"([{"label":"dog","score":0.75},{"label":"cat","score":0.25}])";
  const Row rows[] = {
      {ModelTask::text_generation, "Hi", R"({"response":"Hi"})"},
      {ModelTask::text_generation, {"Hi", " you"}, R"({"response":"Hi you"})"},
      {ModelTask::text_generation, nullptr, R"({"response":""})"},
      {ModelTask::text_generation, {{"response", "Hi"}}, R"({"response":"Hi"})"},
      {ModelTask::text_generation, {1, 2}, R"({"response":"[1,2]"})"},
      {ModelTask::text_embeddings, {1, 2}, R"({"data":[[1,2]],"shape":[1,2]})"},
      {ModelTask::text_embeddings, Json::array({Json::array({1, 2}), Json::array({3, 4})}),
       R"({"data":[[1,2],[3,4]],"shape":[2,2]})"},
      {ModelTask::text_embeddings, Json::array({{{"embedding", {1}}}, {{"embedding", {2}}}}),
       R"({"data":[[1],[2]],"shape":[2,1]})"},
      {ModelTask::text_embeddings,
       {{"embeddings", {{1, 2, 3}}}},
       R"({"data":[[1,2,3]],"shape":[1,3]})"},
      {ModelTask::text_embeddings, "no numbers",
       "error: what the model has given is no output of Text Embeddings"},
      {ModelTask::image_classification, labels, sorted},
      {ModelTask::image_classification, {{"cat", 0.25}, {"dog", 0.75}}, sorted},
      {ModelTask::text_classification, Json::array({{"cat", 0.25}, {"dog", 0.75}}), sorted},
      {ModelTask::text_classification, 7,
       "error: what the model has given is no output of Text Classification"},
      {ModelTask::speech_recognition, "one two", R"({"text":"one two","word_count":2})"},
      {ModelTask::speech_recognition,
       {{"transcription", "one"}, {"words", {{{"word", "one"}}}}},
       R"({"text":"one","word_count":1,"words":[{"word":"one"}]})"},
      {ModelTask::translation, "salut", R"({"translated_text":"salut"})"},
      {ModelTask::translation, {{"translation", "salut"}}, R"({"translated_text":"salut"})"},
      {ModelTask::summarization, "short", R"({"summary":"short"})"},
      {ModelTask::image_to_text, "a cat", R"({"description":"a cat"})"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.result);
    CHECK(shown(row.task, row.output) == row.result);
  }
  CHECK(shown(ModelTask::text_generation, "a",
              {{"input_token_count", 2}, {"output_token_count", 3}}) ==
        R"({"response":"a","usage":{"completion_tokens":3,"prompt_tokens":2,"total_tokens":5}})");
}

TEST_CASE("the task follows from what goes in and what comes out") {
  using Gives = Contract::Gives;
  const Json rows = Json::array({1.5, 2});
  const Json label = {{"label", "cat"}, {"score", 1}};
  CHECK(task_of({{"prompt", "a"}}, Gives::text, "b") == ModelTask::text_generation);
  CHECK(task_of({{"prompt", "a"}}, Gives::file, "b") == ModelTask::text_to_image);
  CHECK(task_of({{"text", "a"}}, Gives::other, rows) == ModelTask::text_embeddings);
  CHECK(task_of({{"text", "a"}}, Gives::other, Json::array({label})) ==
        ModelTask::text_classification);
  CHECK(task_of({{"text", "a"}, {"target_lang", "fr"}}, Gives::text, "b") ==
        ModelTask::translation);
  CHECK(task_of({{"text", "a"}}, Gives::other, "data:audio/wav;base64,AA==") ==
        ModelTask::text_to_speech);
  CHECK(task_of({{"audio", "a"}}, Gives::text, "b") == ModelTask::speech_recognition);
  CHECK(task_of({{"image", "a"}}, Gives::other, Json::array({label})) ==
        ModelTask::image_classification);
  CHECK(task_of({{"image", "a"}}, Gives::text, "a cat") == ModelTask::image_to_text);
  CHECK(task_of({{"input_text", "a"}}, Gives::text, "b") == ModelTask::summarization);
  for (const TaskWords& words : all_tasks()) {
    CHECK(task_named(words.id) == words.task);
    CHECK(&words_of(words.task) == &words);
  }
  CHECK_FALSE(task_named("nothing"));
}

TEST_CASE("a server's answer is told in the other form") {
  const auto of = [](const Json& answer, bool wants_json = false) {
    return codec::dump_json(result_of_server(answer, wants_json));
  };
  const auto chat = [](const Json& message) {
    return Json{{"choices", Json::array({{{"message", message}}})}};
  };
  CHECK(of(chat({{"content", "Hi"}})) == R"({"response":"Hi"})");
  CHECK(of({{"choices", Json::array({{{"text", "Hi"}}})}}) == R"({"response":"Hi"})");
  CHECK(of(chat({{"content", "{\"a\":1}"}}), true) == R"({"response":{"a":1}})");
  CHECK(of(chat({{"content", "no JSON"}}), true) == R"({"response":"no JSON"})");
  const Json call = {{"id", "c1"}, {"function", {{"name", "f"}, {"arguments", "{\"x\":2}"}}}};
  CHECK(of(chat({{"content", nullptr}, {"tool_calls", Json::array({call})}})) ==
        R"({"response":"","tool_calls":[{"arguments":{"x":2},"id":"c1","name":"f"}]})");
  CHECK(of({{"data", Json::array({{{"embedding", {1, 2}}}})}}) ==
        R"({"data":[[1,2]],"shape":[1,2]})");
  for (const char* odd :
       {"7", "[]", "{}", R"({"choices":7})", R"({"choices":[7]})", R"({"data":[]})"}) {
    CHECK(result_of_server(*codec::parse_json(odd), true).is_object());
  }
}
