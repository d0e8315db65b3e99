// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/cog_labels.h"

#include <charconv>
#include <string_view>

#include "thaw/codec/json.h"
#include "thaw/model/model_card.h"

namespace thaw::dialect::native {

using codec::Json;

namespace {

constexpr std::size_t most_config_bytes = 256u << 10;
constexpr std::uint32_t most_inputs = 10'000;

struct Label {
  std::string name;
  const std::string* value = nullptr;  // null: the image has none of these
  bool is_there() const { return value != nullptr && !value->empty(); }
};

// By the name that Cog gives it, or gave it once.
Label find_label(const std::map<std::string, std::string>& labels, std::string_view name) {
  for (const std::string_view space : {"run.cog.", "org.cogmodel."}) {
    std::string full = std::string(space) + std::string(name);
    if (const auto found = labels.find(full); found != labels.end()) {
      return {std::move(full), &found->second};
    }
  }
  return {"run.cog." + std::string(name), nullptr};
}

Result<Json> read_object(const Label& label, std::size_t most_bytes) {
  if (label.value->size() > most_bytes) {
    return Error::invalid_argument("its label " + label.name + " has more than " +
                                   std::to_string(most_bytes >> 10) + " KiB");
  }
  auto json = codec::parse_json(*label.value);
  if (!json || !json->is_object()) {
    return Error::invalid_argument("its label " + label.name + " is no JSON object");
  }
  return std::move(*json);
}

std::uint32_t number_in(std::string_view text) {
  std::uint32_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && rest == text.data() + text.size();
  return is_number && number >= 1 && number <= most_inputs ? number : 0;
}

// What of cog.yaml matters here; what is of another type than it should be says nothing.
void read_config(const Json& config, CogLabels& out) {
  const auto object_in = [&config](const char* name) {
    const auto found = config.find(name);
    return found != config.end() && found->is_object() ? *found : Json::object();
  };
  const Json build = object_in("build");
  if (const auto gpu = build.find("gpu"); gpu != build.end() && gpu->is_boolean()) {
    out.needs_gpu = gpu->get<bool>();
  }
  if (const auto train = config.find("train"); train != config.end()) {
    out.trains = train->is_string() && !train->get_ref<const std::string&>().empty();
  }
  const Json concurrency = object_in("concurrency");
  if (const auto most = concurrency.find("max"); most != concurrency.end()) {
    const bool is_sensible = most->is_number_unsigned() && most->get<std::uint64_t>() >= 1 &&
                             most->get<std::uint64_t>() <= most_inputs;
    out.inputs = is_sensible ? most->get<std::uint32_t>() : 1;
  }
}

}  // namespace

Result<std::optional<CogLabels>> read_cog_labels(const std::map<std::string, std::string>& labels,
                                                 const std::vector<std::string>& env) {
  const Label schema = find_label(labels, "openapi_schema");
  const Label config = find_label(labels, "config");
  Label version = find_label(labels, "version");
  version = version.is_there() ? version : find_label(labels, "cog_version");
  if (!schema.is_there() && !config.is_there() && !version.is_there()) {
    return std::optional<CogLabels>();
  }
  CogLabels out;
  if (version.is_there()) {
    out.made_with = version.value->substr(0, model::longest_model_word);
  }
  if (schema.is_there()) {
    THAW_TRY([[maybe_unused]] const Json json, read_object(schema, model::largest_model_schema));
    out.schema = *schema.value;
  }
  if (config.is_there()) {
    THAW_TRY(const Json json, read_object(config, most_config_bytes));
    read_config(json, out);
  }
  constexpr std::string_view at_once = "COG_MAX_CONCURRENCY=";
  for (const std::string& entry : env) {
    if (const std::string_view text = entry; text.starts_with(at_once)) {
      const std::uint32_t number = number_in(text.substr(at_once.size()));
      out.inputs = number > 0 ? number : out.inputs;
    }
  }
  return std::optional(std::move(out));
}

}  // namespace thaw::dialect::native
