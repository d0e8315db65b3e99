// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/pushed_model.h"

#include "thaw/codec/fields.h"

namespace thaw::dialect::native {

using codec::Json;
using Visibility = model::ModelCard::Visibility;

namespace {

constexpr std::size_t longest_path = 1'000;

}  // namespace

Result<PushedModel> read_pushed_model(const Json& json) {
  PushedModel model;
  codec::Fields fields(json);
  fields.read("owner", model.owner);
  fields.read("name", model.name);
  fields.read("schema_path", model.schema_path);
  fields.read("trains", model.trains);
  std::string text;
  if (json.contains("description")) {
    fields.read("description", text);
    model.description = text;
  }
  if (json.contains("visibility")) {
    std::string word;
    fields.read("visibility", word);
    if (word != "public" && word != "private") {
      return Error::invalid_argument("model: visibility: 'public' or 'private'");
    }
    model.visibility = word == "public" ? Visibility::everybody : Visibility::owner;
  }
  if (const Result<void> read = fields.outcome(); !read) {
    return Error::invalid_argument("model: " + read.error().message());
  }
  const std::string& path = model.schema_path;
  if (!path.starts_with('/') || path.size() > longest_path ||
      path.find('\0') != std::string::npos || (path + "/").find("/../") != std::string::npos) {
    return Error::invalid_argument("model: schema_path is an absolute path without ..");
  }
  model::ModelCard card;
  card.owner = model.owner.empty() ? "owner" : model.owner;
  card.name = model.name;
  card.id = std::string(64, '0');
  card.description = text;
  if (const Result<void> checked = model::check(card); !checked) {
    return Error::invalid_argument("model: " + checked.error().message());
  }
  return model;
}

std::string_view word_of(Visibility visibility) {
  return visibility == Visibility::everybody ? "public" : "private";
}

}  // namespace thaw::dialect::native
