// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/input_schema.h"

#include <re2/re2.h>

#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <utility>

namespace thaw::gateway {

using codec::Json;

namespace {

constexpr int deepest = 32;  // of references and of values in each other
constexpr std::size_t most_told = 50;
constexpr std::size_t most_items_looked_at = 100'000;
constexpr std::int64_t most_pattern_memory = 1 << 20;
constexpr std::size_t most_patterns = 100;
constexpr std::string_view own_schemas = "#/components/schemas/";

const Json& member(const Json& of, const char* name) {
  static const Json none;
  const auto found = of.is_object() ? of.find(name) : of.end();
  return of.is_object() && found != of.end() ? *found : none;
}

// What is no list has no items.
const Json& items_of(const Json& of, const char* name) {
  static const Json none = Json::array();
  const Json& found = member(of, name);
  return found.is_array() ? found : none;
}

std::size_t letters_of(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text) {
    count += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  }
  return count;
}

bool is_whole(const Json& value) {
  return value.is_number_integer() ||
         (value.is_number_float() && std::floor(value.get<double>()) == value.get<double>());
}

bool is_of_type(const Json& value, const std::string& type) {
  return type == "string"    ? value.is_string()
         : type == "integer" ? value.is_number() && is_whole(value)
         : type == "number"  ? value.is_number()
         : type == "boolean" ? value.is_boolean()
         : type == "array"   ? value.is_array()
         : type == "object"  ? value.is_object()
         : type == "null"    ? value.is_null()
                             : true;
}

bool is_address(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://") || text.starts_with("data:");
}

std::string number_text(const Json& number) { return codec::dump_json(number); }

}  // namespace

struct InputSchema::Parts {
  Json schemas;  // the document's components
  std::map<std::string, std::unique_ptr<RE2>, std::less<>> patterns;

  // Where a schema stands that may be a reference; what it refers to in a circle is anything.
  const Json& at(const Json& schema) const {
    const Json* here = &schema;
    for (int depth = 0; depth < deepest; ++depth) {
      const Json& reference = member(*here, "$ref");
      if (!reference.is_string()) {
        return *here;
      }
      const auto& text = reference.get_ref<const std::string&>();
      here = text.starts_with(own_schemas)
                 ? &member(schemas, text.substr(own_schemas.size()).c_str())
                 : &member(Json(), "");
    }
    return member(Json(), "");
  }

  // All that there are, before anybody asks.
  void compile_patterns(const Json& of, int depth) {
    if (const Json& text = member(of, "pattern"); text.is_string()) {
      compile(text.get_ref<const std::string&>());
    }
    if (of.is_structured() && depth < deepest) {
      for (const Json& part : of) {
        compile_patterns(part, depth + 1);
      }
    }
  }

  const RE2* pattern(const std::string& text) const {
    const auto found = patterns.find(text);
    return found == patterns.end() ? nullptr : found->second.get();
  }

 private:
  void compile(const std::string& text) {
    if (patterns.size() >= most_patterns || patterns.contains(text)) {
      return;
    }
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(most_pattern_memory);
    auto compiled = std::make_unique<RE2>(text, options);
    patterns[text] = compiled->ok() ? std::move(compiled) : nullptr;
  }
};

namespace {

// One walk over one input.
class Check {
 public:
  Check(std::function<const Json&(const Json&)> at,
        std::function<const RE2*(const std::string&)> pattern, std::vector<InvalidField>& wrong)
      : at_(std::move(at)), pattern_(std::move(pattern)), wrong_(wrong) {}

  void look(const Json& value, const Json& unresolved, const std::string& path, int depth) {
    const Json& schema = at_(unresolved);
    if (!schema.is_object() || depth > deepest || ++looks_ > most_items_looked_at) {
      return;
    }
    if (value.is_null() && member(schema, "nullable") == true) {
      return;
    }
    for (const Json& part : items_of(schema, "allOf")) {
      look(value, part, path, depth + 1);
    }
    look_at_choices(value, schema, path, depth);
    if (!look_at_type(value, schema, path)) {
      return;
    }
    look_at_enum(value, schema, path);
    if (value.is_number()) {
      look_at_number(value, schema, path);
    } else if (value.is_string()) {
      look_at_text(value.get_ref<const std::string&>(), schema, path);
    } else if (value.is_array()) {
      look_at_items(value, schema, path, depth);
    } else if (value.is_object()) {
      look_at_fields(value, schema, path, depth);
    }
  }

  void wrong(const std::string& path, const char* type, std::string what) {
    if (wrong_.size() < most_told) {
      wrong_.push_back({path, type, std::move(what)});
    }
  }

 private:
  void look_at_choices(const Json& value, const Json& schema, const std::string& path, int depth) {
    for (const char* name : {"anyOf", "oneOf"}) {
      const Json& choices = member(schema, name);
      if (!choices.is_array() || choices.empty()) {
        continue;
      }
      bool fits = false;
      for (const Json& one : choices) {
        std::vector<InvalidField> ignored;
        Check choice(at_, pattern_, ignored);
        choice.looks_ = looks_;
        choice.look(value, one, path, depth + 1);
        looks_ = choice.looks_;
        fits = fits || ignored.empty();
      }
      if (!fits) {
        wrong(path, name, "is none of what it may be");
      }
    }
  }

  bool look_at_type(const Json& value, const Json& schema, const std::string& path) {
    const Json& type = member(schema, "type");
    bool fits = true;
    std::string wanted;
    if (type.is_string()) {
      wanted = type.get<std::string>();
      fits = is_of_type(value, wanted);
    } else if (type.is_array()) {
      fits = false;
      for (const Json& one : type) {
        if (one.is_string()) {
          wanted += (wanted.empty() ? "" : " or ") + one.get<std::string>();
          fits = fits || is_of_type(value, one.get<std::string>());
        }
      }
    }
    if (!fits) {
      wrong(path, "type", "has to be of type " + wanted + ", and is " + value.type_name());
    }
    return fits;
  }

  void look_at_enum(const Json& value, const Json& schema, const std::string& path) {
    const Json& choices = member(schema, "enum");
    if (!choices.is_array()) {
      return;
    }
    std::string told;
    for (const Json& one : choices) {
      if (one == value) {
        return;
      }
      if (told.size() < 500) {
        told += (told.empty() ? "" : ", ") + codec::dump_json(one);
      }
    }
    wrong(path, "enum", "has to be one of " + told);
  }

  void look_at_number(const Json& value, const Json& schema, const std::string& path) {
    const double number = value.get<double>();
    const auto limit = [&](const char* name, bool is_broken, const char* what) {
      if (is_broken) {
        wrong(path, name, what + number_text(member(schema, name)));
      }
    };
    const auto compare = [&](const char* name) -> std::optional<double> {
      const Json& bound = member(schema, name);
      return bound.is_number() ? std::optional(bound.get<double>()) : std::nullopt;
    };
    const bool is_least_excluded = member(schema, "exclusiveMinimum") == true;
    const bool is_most_excluded = member(schema, "exclusiveMaximum") == true;
    if (const auto least = compare("minimum")) {
      limit("minimum", is_least_excluded ? number <= *least : number < *least,
            is_least_excluded ? "has to be greater than " : "has to be at least ");
    }
    if (const auto most = compare("maximum")) {
      limit("maximum", is_most_excluded ? number >= *most : number > *most,
            is_most_excluded ? "has to be less than " : "has to be at most ");
    }
    if (const auto least = compare("exclusiveMinimum")) {
      limit("exclusiveMinimum", number <= *least, "has to be greater than ");
    }
    if (const auto most = compare("exclusiveMaximum")) {
      limit("exclusiveMaximum", number >= *most, "has to be less than ");
    }
  }

  void look_at_text(const std::string& text, const Json& schema, const std::string& path) {
    const Json& least = member(schema, "minLength");
    const Json& most = member(schema, "maxLength");
    if (least.is_number() && static_cast<double>(letters_of(text)) < least.get<double>()) {
      wrong(path, "minLength", "has to have at least " + number_text(least) + " characters");
    }
    if (most.is_number() && static_cast<double>(letters_of(text)) > most.get<double>()) {
      wrong(path, "maxLength", "has to have at most " + number_text(most) + " characters");
    }
    if (const Json& pattern = member(schema, "pattern"); pattern.is_string()) {
      const RE2* compiled = pattern_(pattern.get_ref<const std::string&>());
      if (compiled != nullptr && !RE2::PartialMatch(text, *compiled)) {
        wrong(path, "pattern", "has to match " + pattern.get<std::string>().substr(0, 200));
      }
    }
    if (member(schema, "format") == "uri" && !is_address(text)) {
      wrong(path, "format", "has to be the address of a file: http:, https: or data:");
    }
  }

  void look_at_items(const Json& value, const Json& schema, const std::string& path, int depth) {
    const Json& least = member(schema, "minItems");
    const Json& most = member(schema, "maxItems");
    if (least.is_number() && static_cast<double>(value.size()) < least.get<double>()) {
      wrong(path, "minItems", "has to have at least " + number_text(least) + " items");
    }
    if (most.is_number() && static_cast<double>(value.size()) > most.get<double>()) {
      wrong(path, "maxItems", "has to have at most " + number_text(most) + " items");
    }
    const Json& items = member(schema, "items");
    if (!items.is_object()) {
      return;
    }
    for (std::size_t i = 0; i < value.size() && wrong_.size() < most_told; ++i) {
      look(value[i], items, path + "." + std::to_string(i), depth + 1);
    }
  }

  void look_at_fields(const Json& value, const Json& schema, const std::string& path, int depth) {
    for (const Json& name : items_of(schema, "required")) {
      if (name.is_string() && !value.contains(name.get_ref<const std::string&>())) {
        const auto& field = name.get_ref<const std::string&>();
        wrong(path + "." + field, "required", "is required");
      }
    }
    const Json& properties = member(schema, "properties");
    if (!properties.is_object()) {
      return;
    }
    for (const auto& [name, field] : value.items()) {
      if (const auto known = properties.find(name); known != properties.end()) {
        look(field, *known, path + "." + name, depth + 1);
      }
    }
  }

  std::function<const Json&(const Json&)> at_;
  std::function<const RE2*(const std::string&)> pattern_;
  std::vector<InvalidField>& wrong_;
  std::size_t looks_ = 0;
};

}  // namespace

InputSchema::InputSchema(std::string_view document, const char* pieces_mark)
    : parts_(std::make_unique<Parts>()) {
  auto json = codec::parse_json(document);
  if (json) {
    parts_->schemas = member(member(*json, "components"), "schemas");
    parts_->compile_patterns(parts_->schemas, 0);
  }
  const Json& output = parts_->at(member(parts_->schemas, "Output"));
  gives_list_ = member(output, pieces_mark) == "iterator";
}

InputSchema::~InputSchema() = default;
InputSchema::InputSchema(InputSchema&&) noexcept = default;

std::vector<InvalidField> InputSchema::check(Json& input) const {
  std::vector<InvalidField> wrong;
  const auto at = [this](const Json& schema) -> const Json& { return parts_->at(schema); };
  const auto pattern = [this](const std::string& text) { return parts_->pattern(text); };
  Check check(at, pattern, wrong);
  if (!input.is_object()) {
    check.wrong("input", "type", "has to be an object");
    return wrong;
  }
  const Json& schema = parts_->at(member(parts_->schemas, "Input"));
  if (!schema.is_object()) {
    return wrong;
  }
  if (const Json& properties = member(schema, "properties"); properties.is_object()) {
    for (auto field = input.begin(); field != input.end();) {
      field = properties.contains(field.key()) ? std::next(field) : input.erase(field);
    }
  }
  check.look(input, schema, "input", 0);
  return wrong;
}

bool InputSchema::is_file(const std::string& field) const {
  const Json& schema = parts_->at(member(parts_->schemas, "Input"));
  const Json& property = parts_->at(member(member(schema, "properties"), field.c_str()));
  return member(property, "format") == "uri" ||
         member(parts_->at(member(property, "items")), "format") == "uri";
}

}  // namespace thaw::gateway
