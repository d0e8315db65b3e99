// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/image_push.h"

#include <utility>

#include "thaw/image/registry_image.h"

namespace thaw::dialect::native {

using async::Task;

namespace {

// Labels say that it is a model, and nobody says that it is something else.
bool is_model(const PushRequest& request, const ImageFacts& facts) {
  const bool is_cog = facts.cog && *facts.cog;
  return is_cog && (request.preset_by == PushRequest::SaidBy::nobody || request.preset == "cog");
}

void fill_in(PushRequest& request, const CogLabels& labels) {
  if (!request.model) {
    request.model.emplace();
    request.model->name = request.name;
    request.model->schema_path = cog_schema_path;
  }
  request.model->schema = labels.schema;
  request.model->made_with = labels.made_with;
  request.model->trains = labels.trains;
  // The server inside has to know how many it gets at once: it refuses one more.
  if (request.concurrency_by == PushRequest::SaidBy::request) {
    request.env.emplace("COG_MAX_CONCURRENCY",
                        std::to_string(request.scaling.max_concurrent_inputs));
  }
}

}  // namespace

Task<ImageFacts> look_at_image(Context& cx, model::WorkspaceId workspace, std::string name) {
  ImageFacts facts;
  facts.recipe.dockerfile = {"FROM " + name};
  facts.recipe.workspace = workspace.str();
  THAW_CO_TRY(facts.recipe, co_await cx.owners.images.find_bases(std::move(facts.recipe)));
  if (const auto found = facts.recipe.found.find(name); found != facts.recipe.found.end()) {
    const image::RegistryImage& image = *found->second;
    facts.port = image.notes.port;
    facts.cog = read_cog_labels(image.notes.labels, image.config.env);
  }
  facts.name = std::move(name);
  co_return facts;
}

Unsaid unsaid_of(const ImageFacts& facts) {
  Unsaid unsaid;
  unsaid.port = facts.port;
  if (facts.cog && *facts.cog) {
    const CogLabels& labels = **facts.cog;
    unsaid.preset = "cog";
    // Its package alone takes more than a second to be loaded, and a restore some milliseconds.
    unsaid.snapshot_at = model::SnapshotAt::ready;
    unsaid.concurrency = static_cast<int>(labels.inputs);
    unsaid.gpu = labels.needs_gpu ? "any" : "";
  }
  return unsaid;
}

Result<PushRequest> with_image(std::string_view body, PushRequest read, const ImageFacts& facts) {
  if (!facts.cog && read.preset_by == PushRequest::SaidBy::nobody) {
    return Error::invalid_argument("image: " + facts.name + " is one of Cog, and " +
                                   facts.cog.error().message() +
                                   "; with preset 'plain' it is a function and no model");
  }
  Unsaid unsaid = unsaid_of(facts);
  if (!is_model(read, facts)) {
    unsaid = Unsaid{.port = facts.port};
  }
  THAW_TRY(PushRequest request, read_push_request(body, unsaid));
  if (is_model(request, facts)) {
    fill_in(request, **facts.cog);
    return request;
  }
  if (request.model && (request.model->description || request.model->visibility)) {
    return Error::invalid_argument("model: a description and a visibility are for models, and " +
                                   facts.name + " has none of Cog's labels");
  }
  request.model.reset();
  return request;
}

}  // namespace thaw::dialect::native
