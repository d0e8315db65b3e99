// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/model_inputs.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::dialect::workers_ai;
using codec::Json;

namespace {

// A document whose input has these properties.
Contract contract_with(const Json& properties, const Json& output = {{"type", "string"}}) {
  const Json document = {
      {"components",
       {{"schemas",
         {{"Input", {{"type", "object"}, {"properties", properties}}}, {"Output", output}}}}}};
  return read_contract(codec::dump_json(document));
}

const Json text = {{"type", "string"}};
const Json number = {{"type", "integer"}};
const Json file = {{"type", "string"}, {"format", "uri"}};
const Json list = {{"type", "array"}, {"items", {{"type", "string"}}}};

std::string shown(const Json& given, const Contract& contract) {
  const auto inputs = model_inputs(given, contract);
  if (!inputs) {
    return "error: " + inputs.error().message();
  }
  std::string out;
  for (const Json& one : *inputs) {
    out += (out.empty() ? "" : " ") + codec::dump_json(one);
  }
  return out;
}

Json said(const char* role, const Json& content) { return {{"role", role}, {"content", content}}; }

}  // namespace

TEST_CASE("each task's inputs find the model's fields") {
  struct Row {
    Json given;
    Json properties;
    const char* inputs;
  };
  const Json user = said("user", "Hi");
  const Json chat = Json::array({said("system", "Be kind"), user});
  const Row rows[] = {
      {{{"prompt", "Hi"}}, {{"prompt", text}}, R"({"prompt":"Hi"})"},
      {{{"prompt", "Hi"}}, {{"instruction", text}}, R"({"instruction":"Hi"})"},
      {{{"prompt", "Hi"}}, {{"odd", text}}, R"({"odd":"Hi"})"},
      {{{"prompt", "Hi"}, {"max_tokens", 5}, {"top_k", 3}, {"none", 1}},
       {{"prompt", text}, {"max_new_tokens", number}, {"top_k", number}},
       R"({"max_new_tokens":5,"prompt":"Hi","top_k":3})"},
      {{{"messages", chat}},
       {{"prompt", text}, {"system_prompt", text}},
       R"({"prompt":"Hi","system_prompt":"Be kind"})"},
      {{{"messages", chat}}, {{"prompt", text}}, R"({"prompt":"Be kind\n\nHi"})"},
      {{{"messages", Json::array({user, said("assistant", "Ho"), user})}},
       {{"prompt", text}},
       R"({"prompt":"User: Hi\nAssistant: Ho\nUser: Hi\nAssistant:"})"},
      {{{"messages", Json::array({user})}},
       {{"messages", list}},
       R"({"messages":[{"content":"Hi","role":"user"}]})"},
      {{{"messages", Json::array({user})}},
       {{"messages", text}},
       R"({"messages":"[{\"content\":\"Hi\",\"role\":\"user\"}]"})"},
      {{{"text", "a"}}, {{"text", text}}, R"({"text":"a"})"},
      {{{"text", {"a", "b"}}}, {{"texts", list}}, R"({"texts":["a","b"]})"},
      {{{"text", {"a", "b"}}}, {{"text", text}}, R"({"text":"a"} {"text":"b"})"},
      {{{"text", "a"}, {"source_lang", "en"}, {"target_lang", "fr"}},
       {{"text", text}, {"target_language", text}},
       R"({"target_language":"fr","text":"a"})"},
      {{{"input_text", "long"}}, {{"document", text}}, R"({"document":"long"})"},
      {{{"audio", {82, 73}}},
       {{"audio_file", file}},
       R"({"audio_file":"data:application/octet-stream;base64,Ukk="})"},
      {{{"audio", "UkkK"}},
       {{"speech", file}, {"beam", number}},
       R"({"speech":"data:application/octet-stream;base64,UkkK"})"},
      {{{"image", "https://a/b.png"}}, {{"image", file}}, R"({"image":"https://a/b.png"})"},
      // The model's own words are as good.
      {{{"words", 3}}, {{"words", number}}, R"({"words":3})"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.inputs);
    CHECK(shown(row.given, contract_with(row.properties)) == row.inputs);
  }
}

TEST_CASE("an image in a chat goes where images go") {
  const Json content = Json::array(
      {{{"type", "text"}, {"text", "What?"}},
       {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,AA=="}}}}});
  const Contract sees = contract_with({{"prompt", text}, {"image", file}});
  CHECK(shown({{"messages", Json::array({said("user", content)})}}, sees) ==
        R"({"image":"data:image/png;base64,AA==","prompt":"What?"})");
  CHECK(shown({{"messages", Json::array({said("user", content)})}},
              contract_with({{"prompt", text}})) ==
        "error: this model has no input for 'image'; it takes prompt");
}

TEST_CASE("what fits nowhere is told, with what would") {
  const Contract talks = contract_with({{"prompt", text}, {"count", number}});
  const Json wrong[] = {
      Json::array(),
      Json::object(),
      {{"unknown", 1}},
      {{"prompt", 7}},
      {{"prompt", Json::object()}},
      {{"text", Json::array()}},
      {{"text", {"a", 7}}},
      {{"audio", {1, 2}}},
      {{"messages", "Hi"}},
      {{"messages", Json::array()}},
      {{"messages", {7}}},
      {{"messages", Json::array({{{"role", 7}}})}},
      {{"messages", Json::array({said("user", 7)})}},
      {{"messages", Json::array({said("user", Json::array({7}))})}},
  };
  for (const Json& given : wrong) {
    CAPTURE(given.dump());
    CHECK(shown(given, talks).starts_with("error: "));
  }
  const Contract hears = contract_with({{"audio", file}});
  for (const Json& audio : {Json({256}), Json({-1}), Json({0.5}), Json({"a"}), Json("no base64!"),
                            Json(7), Json(true)}) {
    CHECK(shown({{"audio", audio}}, hears).starts_with("error: "));
  }
  Json many = Json::array();
  for (std::size_t i = 0; i <= most_texts; ++i) {
    many.push_back("a");
  }
  CHECK(shown({{"text", many}}, contract_with({{"text", text}})).starts_with("error: "));
}

TEST_CASE("a schema is a stranger's") {
  for (const char* document :
       {"", "7", "[]", "{}", R"({"components":7})", R"({"components":{"schemas":{"Input":7}}})",
        R"({"components":{"schemas":{"Input":{"properties":[]}}}})",
        R"({"components":{"schemas":{"Input":{"$ref":"#/components/schemas/Input"}}}})",
        R"({"components":{"schemas":{"Input":{"properties":{"a":7,"b":{"allOf":7}}}}}})"}) {
    CAPTURE(document);
    const Contract contract = read_contract(document);
    CHECK(contract.gives == Contract::Gives::other);
  }
  const Contract chosen = read_contract(R"({"components":{"schemas":{
      "mode":{"enum":["a"],"type":"string"},
      "Input":{"properties":{"z":{"x-order":1,"anyOf":[{"type":"null"},{"type":"integer"}]},
                             "mode":{"x-order":0,"allOf":[{"$ref":"#/components/schemas/mode"}]}}},
      "Output":{"type":"array","items":{"type":"string","format":"uri"}}}}})");
  CHECK(chosen.names() == "mode, z");
  CHECK(chosen.find("mode")->kind == InputField::Kind::text);
  CHECK(chosen.find("z")->kind == InputField::Kind::number);
  CHECK(chosen.gives == Contract::Gives::file);
}
