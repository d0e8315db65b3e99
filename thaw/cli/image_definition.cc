// SPDX-License-Identifier: Apache-2.0
#include "thaw/cli/image_definition.h"

#include <string_view>
#include <vector>

#include "thaw/cli/model_folder.h"
#include "thaw/cli/push_definition.h"
#include "thaw/cli/push_guess.h"

namespace thaw::cli {

namespace {

// The words of its path, without a registry's host, a tag and a digest. Whether they can be is the
// server's to say.
std::vector<std::string> path_of(std::string_view image) {
  image = image.substr(0, image.find('@'));
  const std::size_t colon = image.rfind(':');
  if (colon != std::string_view::npos && image.find('/', colon) == std::string_view::npos) {
    image = image.substr(0, colon);
  }
  std::vector<std::string> words;
  while (!image.empty()) {
    const std::size_t slash = image.find('/');
    words.emplace_back(image.substr(0, slash));
    image.remove_prefix(slash == std::string_view::npos ? image.size() : slash + 1);
  }
  const bool has_host =
      words.size() > 1 &&
      (words.front().find_first_of(".:") != std::string::npos || words.front() == "localhost");
  if (has_host) {
    words.erase(words.begin());
  }
  return words;
}

// Of a model, should its labels say that it is one: as it was said, or as the image is called.
Result<NamedModel> model_name(const std::string& given, const std::string& image) {
  if (!given.empty()) {
    return named_model(given);
  }
  const std::vector<std::string> words = path_of(image);
  NamedModel name;
  name.name = words.empty() ? "" : words.back();
  name.owner = words.size() == 2 ? words.front() : "";
  return name;
}

}  // namespace

Result<codec::Json> image_definition(PushOptions& options) {
  if (!options.name.empty()) {
    return Error::invalid_argument("with --image there is no folder: leave '" + options.folder +
                                   "' out, or the image");
  }
  THAW_TRY(const NamedModel name, model_name(options.folder, options.image));
  options.name = function_name_of(name.name);
  if (!name.tag.empty()) {
    options.aliases.push_back(name.tag + "=100");
  }
  if (options.preset.empty()) {
    const PresetGuess guess = guess_preset({}, "FROM " + options.image);
    options.preset = guess.preset == "plain" ? "" : guess.preset;
  }
  THAW_TRY(codec::Json out, definition_of(options, {}, ""));
  out["image"] = options.image;
  for (const char* built : {"dockerfile", "files", "build_args"}) {
    out.erase(built);
  }
  if (options.preset.empty()) {
    out.erase("preset");
  }
  codec::Json model = {{"name", name.name}};
  for (const auto& [key, value] : {std::pair("owner", name.owner),
                                   {"description", options.description},
                                   {"visibility", options.visibility}}) {
    if (!value.empty()) {
      model[key] = value;
    }
  }
  out["model"] = std::move(model);
  return out;
}

}  // namespace thaw::cli
