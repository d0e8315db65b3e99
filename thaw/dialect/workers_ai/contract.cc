// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/contract.h"

#include <algorithm>
#include <utility>

#include "thaw/codec/json.h"

namespace thaw::dialect::workers_ai {

using codec::Json;
using Kind = InputField::Kind;

namespace {

constexpr int deepest = 8;  // of references and choices
constexpr std::size_t most_fields = 200;
constexpr std::string_view own_schemas = "#/components/schemas/";

const Json& member(const Json& of, std::string_view name) {
  static const Json none;
  const auto found = of.is_object() ? of.find(name) : of.end();
  return of.is_object() && found != of.end() ? *found : none;
}

// What it refers to, or its only choice beside null.
const Json& resolved(const Json& schemas, const Json& schema, int depth = 0) {
  if (depth > deepest) {
    return schema;
  }
  if (const Json& reference = member(schema, "$ref"); reference.is_string()) {
    const auto& text = reference.get_ref<const std::string&>();
    return text.starts_with(own_schemas)
               ? resolved(schemas, member(schemas, text.substr(own_schemas.size())), depth + 1)
               : schema;
  }
  for (const char* name : {"allOf", "anyOf", "oneOf"}) {
    static const Json none = Json::array();
    const Json& given = member(schema, name);
    const Json& parts = given.is_array() ? given : none;
    for (const Json& part : parts) {
      if (member(part, "type") != "null") {
        return resolved(schemas, part, depth + 1);
      }
    }
  }
  return schema;
}

Kind kind_of(const Json& schema) {
  const Json& type = member(schema, "type");
  if (type == "string") {
    return member(schema, "format") == "uri" ? Kind::file : Kind::text;
  }
  return type == "integer" || type == "number" ? Kind::number
         : type == "boolean"                   ? Kind::flag
         : type == "array"                     ? Kind::list
                                               : Kind::any;
}

Contract::Gives gives_of(const Json& schemas, const Json& output) {
  const Json& schema = resolved(schemas, output);
  const Json& one =
      member(schema, "type") == "array" ? resolved(schemas, member(schema, "items")) : schema;
  const Kind kind = kind_of(one);
  return kind == Kind::file   ? Contract::Gives::file
         : kind == Kind::text ? Contract::Gives::text
                              : Contract::Gives::other;
}

}  // namespace

const InputField* Contract::find(std::string_view name) const {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const InputField& one) { return one.name == name; });
  return found == fields.end() ? nullptr : &*found;
}

const InputField* Contract::first(Kind kind) const {
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const InputField& one) { return one.kind == kind; });
  return found == fields.end() ? nullptr : &*found;
}

std::string Contract::names() const {
  std::string text;
  for (const InputField& one : fields) {
    text += (text.empty() ? "" : ", ") + one.name;
  }
  return text;
}

Contract read_contract(std::string_view document) {
  Contract contract;
  const auto json = codec::parse_json(document);
  if (!json) {
    return contract;
  }
  const Json& schemas = member(member(*json, "components"), "schemas");
  const Json& input = resolved(schemas, member(schemas, "Input"));
  const Json& given = member(input, "properties");
  const Json properties = given.is_object() ? given : Json::object();
  std::vector<std::pair<std::int64_t, InputField>> fields;
  for (const auto& [name, schema] : properties.items()) {
    const Json& order = member(schema, "x-order");
    if (fields.size() < most_fields) {
      fields.push_back({order.is_number_integer() ? order.get<std::int64_t>() : 0,
                        {name, kind_of(resolved(schemas, schema))}});
    }
  }
  std::stable_sort(fields.begin(), fields.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [order, field] : fields) {
    contract.fields.push_back(std::move(field));
  }
  contract.gives = gives_of(schemas, member(schemas, "Output"));
  return contract;
}

}  // namespace thaw::dialect::workers_ai
