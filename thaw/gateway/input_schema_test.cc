// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/input_schema.h"

#include <doctest/doctest.h>

using namespace thaw;
using namespace thaw::gateway;
using codec::Json;

namespace {

// A model with these fields, and "prompt" required among them.
InputSchema schema_of(Json properties, Json others = Json::object()) {
  others["Input"] = {
      {"type", "object"}, {"properties", std::move(properties)}, {"required", {"prompt"}}};
  return InputSchema(codec::dump_json({{"components", {{"schemas", std::move(others)}}}}));
}

// "field type" of each that is wrong.
std::string wrong_of(const InputSchema& schema, Json input) {
  std::string told;
  for (const InvalidField& one : schema.check(input)) {
    told += (told.empty() ? "" : "; ") + one.field + " " + one.type;
  }
  return told;
}

}  // namespace

TEST_CASE("each thing that a schema says of a field is held") {
  const Json text = {{"type", "string"}};
  const struct {
    Json property;
    Json value;
    const char* wrong;
  } cases[] = {
      {{{"type", "string"}}, 1, "type"},
      {{{"type", "integer"}}, 1.5, "type"},
      {{{"type", "integer"}}, 2.0, ""},
      {{{"type", "integer"}}, true, "type"},
      {{{"type", "number"}}, 1, ""},
      {{{"type", "boolean"}}, 0, "type"},
      {{{"type", "string"}}, nullptr, "type"},
      {{{"type", "string"}, {"nullable", true}}, nullptr, ""},
      {{{"type", {"string", "null"}}}, nullptr, ""},
      {{{"type", "integer"}, {"minimum", 1}}, 0, "minimum"},
      {{{"type", "integer"}, {"maximum", 10}}, 11, "maximum"},
      {{{"type", "number"}, {"exclusiveMaximum", 1}}, 1, "exclusiveMaximum"},
      {{{"type", "number"}, {"minimum", 1}, {"exclusiveMinimum", true}}, 1, "minimum"},
      {{{"type", "string"}, {"minLength", 2}}, "ä", "minLength"},
      {{{"type", "string"}, {"maxLength", 2}}, "äöü", "maxLength"},
      {{{"type", "string"}, {"maxLength", 3}}, "äöü", ""},
      {{{"type", "string"}, {"pattern", "^[a-z]+$"}}, "A", "pattern"},
      {{{"type", "string"}, {"pattern", "("}}, "anything", ""},
      {{{"type", "string"}, {"format", "uri"}}, "/etc/passwd", "format"},
      {{{"type", "string"}, {"format", "uri"}}, "data:,x", ""},
      {{{"enum", {"a", "b"}}}, "c", "enum"},
      {{{"allOf", {{{"$ref", "#/components/schemas/choice"}}}}}, "c", "enum"},
      {{{"allOf", {{{"$ref", "#/components/schemas/choice"}}}}}, "a", ""},
      {{{"$ref", "#/components/schemas/choice"}}, "c", "enum"},
      {{{"anyOf", {{{"type", "integer"}}, {{"type", "null"}}}}}, "c", "anyOf"},
      {{{"anyOf", {{{"type", "integer"}}, {{"type", "null"}}}}}, nullptr, ""},
      {{{"type", "array"}, {"minItems", 1}}, Json::array(), "minItems"},
      {{{"type", "array"}, {"maxItems", 1}}, {1, 2}, "maxItems"},
  };
  for (const auto& one : cases) {
    const InputSchema schema =
        schema_of({{"prompt", text}, {"x", one.property}}, {{"choice", {{"enum", {"a", "b"}}}}});
    CAPTURE(codec::dump_json(one.property));
    CAPTURE(codec::dump_json(one.value));
    const std::string wanted = *one.wrong == '\0' ? "" : "input.x " + std::string(one.wrong);
    CHECK(wrong_of(schema, {{"prompt", "hi"}, {"x", one.value}}) == wanted);
  }
}

TEST_CASE("a field that is missing is named, and one inside a list by its place") {
  const InputSchema schema =
      schema_of({{"prompt", {{"type", "string"}}},
                 {"words", {{"type", "array"}, {"items", {{"type", "string"}}}}}});
  CHECK(wrong_of(schema, {{"words", {"a", 1}}}) == "input.prompt required; input.words.1 type");
  CHECK(wrong_of(schema, "text") == "input type");
  CHECK(wrong_of(schema, nullptr) == "input type");
}

TEST_CASE("fields that a model does not have are taken out, as its server does") {
  const InputSchema schema = schema_of({{"prompt", {{"type", "string"}}}});
  Json input = {{"prompt", "hi"}, {"other", 1}};
  CHECK(schema.check(input).empty());
  CHECK(input == Json{{"prompt", "hi"}});
}

TEST_CASE("a document that makes no sense checks nothing, and ends") {
  for (const char* document :
       {"", "[]", "{", "{\"components\":1}", "{\"components\":{\"schemas\":{\"Input\":[]}}}",
        R"({"components":{"schemas":{"Input":{"$ref":"#/components/schemas/Input"}}}})",
        R"({"components":{"schemas":{"Input":{"properties":7,"required":"x","allOf":3}}}})"}) {
    CAPTURE(document);
    Json input = {{"anything", 1}};
    CHECK(InputSchema(document).check(input).empty());
    CHECK(input == Json{{"anything", 1}});
  }
}

TEST_CASE("a schema that is its own part ends") {
  const InputSchema schema(
      R"({"components":{"schemas":{"Input":{"type":"object","properties":{"x":{"allOf":[
      {"$ref":"#/components/schemas/Loop"},{"$ref":"#/components/schemas/Loop"}]}}},
      "Loop":{"allOf":[{"$ref":"#/components/schemas/Loop"},
      {"$ref":"#/components/schemas/Loop"}]}}}})");
  Json input = {{"x", 1}};
  CHECK(schema.check(input).empty());
}

TEST_CASE("a pattern that others backtrack over for ever is matched at once") {
  const InputSchema schema = schema_of({{"prompt", {{"type", "string"}, {"pattern", "^(a+)+$"}}}});
  CHECK(wrong_of(schema, {{"prompt", std::string(100'000, 'a') + "!"}}) == "input.prompt pattern");
}

TEST_CASE("which fields are files, and whether the output is a list of pieces") {
  const InputSchema schema(R"({"components":{"schemas":{
      "Input":{"properties":{"image":{"type":"string","format":"uri"},
        "images":{"type":"array","items":{"type":"string","format":"uri"}},
        "text":{"type":"string"}}},
      "Output":{"type":"array","x-pieces":"iterator"}}}})",
                           "x-pieces");
  CHECK(schema.is_file("image"));
  CHECK(schema.is_file("images"));
  CHECK_FALSE(schema.is_file("text"));
  CHECK_FALSE(schema.is_file("other"));
  CHECK(schema.gives_list());
  CHECK_FALSE(InputSchema("{}", "x-pieces").gives_list());
}
