// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/card_maker.h"

#include <utility>

#include "thaw/async/blocking.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/image/root_tree.h"

namespace thaw::dialect::native {

using async::Task;
using codec::Json;
using Visibility = model::ModelCard::Visibility;

namespace {

// From the uppermost layer that has it. Each layer comes from a stranger: no link leads out of it.
Result<std::string> read_schema(const std::vector<std::string>& layers, const std::string& path) {
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    THAW_TRY(const image::RootTree tree, image::RootTree::open_folder(*layer));
    auto text = tree.read_text(path, model::largest_model_schema + 1);
    if (text && text->size() > model::largest_model_schema) {
      return Error::resource_exhausted(path + " of its image has more than " +
                                       std::to_string(model::largest_model_schema >> 10) + " KiB");
    }
    if (text || text.error().code() != Code::not_found) {
      return text;
    }
  }
  return Error::not_found("its image has no " + path);
}

// What of the schema says more than what goes in and out. `source`: where it is, in words.
Result<void> read_marks(const std::string& source, model::ModelCard& card) {
  const auto json = codec::parse_json(card.schema);
  if (!json || !json->is_object()) {
    return Error::failed_precondition(source + " of its image is no JSON object");
  }
  try {
    const Json streams =
        json->value(Json::json_pointer("/paths/~1predictions/post/x-cog-streaming"), Json(false));
    card.streams = streams.is_boolean() && streams.get<bool>();
    const Json made_with = json->value(Json::json_pointer("/info/x-cog-version"), Json(""));
    card.made_with = made_with.is_string() ? made_with.get<std::string>().substr(0, 63) : "";
  } catch (const Json::exception&) {
    // Something else is where these would be: it says neither.
  }
  return ok();
}

}  // namespace

Result<std::string> function_for(Context& cx, const catalog::Scope& scope, PushedModel& model) {
  const auto workspace = scope.workspace();
  if (!workspace) {
    return Error::not_found("the workspace is not there any more");
  }
  model.owner = model.owner.empty() ? workspace->name : model.owner;
  std::string function = model::model_function(model.owner, model.name, workspace->name);
  if (const Result<void> named = gateway::check_label(function); !named) {
    return Error::invalid_argument("model: its function would be called " + function + ": " +
                                   named.error().message());
  }
  const auto published = cx.owners.invoke.find(scope, dialect_name, function);
  const auto card = published ? cx.models.card(published->spec) : nullptr;
  if (card && (card->owner != model.owner || card->name != model.name)) {
    return Error::already_exists("function " + function + " is the model " + card->owner + "/" +
                                 card->name + ", and would be " + model.owner + "/" + model.name +
                                 " too; choose another name, or remove that function first");
  }
  // What was not said stays as it is.
  if (card && !model.description) {
    model.description = card->description;
  }
  if (card && !model.visibility) {
    model.visibility = card->visibility;
  }
  return function;
}

Task<model::ModelCard> card_for(Context& cx, gateway::Identity who, PushedModel model,
                                std::string image_key) {
  THAW_CO_TRY(const image::BuildResult built, cx.owners.images.find(image_key));
  model::ModelCard card;
  card.owner = model.owner;
  card.name = model.name;
  card.description = model.description.value_or("");
  card.visibility = model.visibility.value_or(Visibility::owner);
  card.trains = model.trains;
  if (!model.schema.empty()) {
    card.schema = std::move(model.schema);
    THAW_CO_TRY_VOID(read_marks("the schema in the labels", card));
    card.made_with = card.made_with.empty() ? model.made_with : card.made_with;
    co_return card;
  }
  auto read = [layers = built.image.layers, path = model.schema_path] {
    return read_schema(layers, path);
  };
  const async::PoolShare share{cx.owners.pool, who.workspace.str()};
  Result<std::string> schema = co_await async::blocking(share, std::move(read));
  if (!schema) {
    co_return Error::failed_precondition("it says in no schema what goes in and comes out: " +
                                         schema.error().message());
  }
  card.schema = std::move(*schema);
  THAW_CO_TRY_VOID(read_marks(model.schema_path, card));
  card.made_with = card.made_with.empty() ? model.made_with : card.made_with;
  co_return card;
}

}  // namespace thaw::dialect::native
