// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/releases.h"

#include <utility>

#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;

namespace {

// A COPY may come behind steps that take hours.
constexpr Duration longest_build = 6h;

}  // namespace

Task<Releases::Wanted> Releases::image_for(model::WorkspaceId workspace, image::Recipe recipe) {
  THAW_CO_TRY(recipe, co_await parts_.images.find_bases(std::move(recipe)));
  THAW_CO_TRY(const std::string key, parts_.images.key_of(recipe));
  Wanted wanted;
  model::Image& image = wanted.image;
  image.id = model::ImageId("im-" + store::sha256_hex(workspace.str() + key).substr(0, 22));
  image.workspace = workspace;
  image.key = key;
  if (parts_.images.find(key)) {
    THAW_CO_TRY_VOID(co_await parts_.catalog.images.put(image));
    co_return wanted;
  }
  for (const auto& [path, file] : recipe.context) {
    if (!parts_.blobs.contains(recipe.workspace, file.sha256_hex)) {
      co_return Error::failed_precondition("the content of " + path +
                                           " was not sent; send what is missing first");
    }
    parts_.blobs.keep(recipe.workspace, file.sha256_hex, longest_build);
  }
  wanted.build = parts_.builds.find(workspace, image.id);
  if (!wanted.build || wanted.build->state != ImageBuilds::State::running) {
    THAW_CO_TRY_VOID(parts_.builds.start(image, std::move(recipe)));
    wanted.build = parts_.builds.find(workspace, image.id);
  }
  co_return wanted;
}

Task<void> Releases::until_built(std::shared_ptr<ImageBuilds::Build> build) {
  while (build && build->state == ImageBuilds::State::running) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await build->changed.wait(monotonic_now() + 1s));
  }
  if (build && build->state == ImageBuilds::State::failed) {
    co_return Error::failed_precondition(build->failure);
  }
  co_return ok();
}

Result<Draft> Releases::begin(const catalog::Scope& scope, const std::string& dialect,
                              const std::string& name) const {
  THAW_TRY(const auto environment, scope.environment_named(""));
  Draft draft;
  model::FunctionSpec& spec = draft.spec;
  if (const auto known = scope.deployed_app(environment->id, name)) {
    const auto published = parts_.invoke.find(scope, dialect, name);
    if (!published) {
      return Error::already_exists("an app '" + name +
                                   "' is deployed here by another client; choose another name, "
                                   "or stop that app first");
    }
    draft.app = *known;
    draft.app_is_there = true;
    spec.id = published->function->id;
  } else {
    draft.app.id = model::AppId(codec::random_id("ap"));
    draft.app.workspace = environment->workspace;
    draft.app.environment = environment->id;
    draft.app.description = name;
    draft.app.created_at = wall_now();
    spec.id = model::FunctionId(codec::random_id("fu"));
  }
  spec.version = codec::random_id("de");
  spec.app = draft.app.id;
  spec.workspace = draft.app.workspace;
  spec.environment = draft.app.environment;
  spec.dialect = dialect;
  spec.name = name;
  return draft;
}

// Nobody waits between the look at what is there and the publication: it is one change.
Task<Published> Releases::publish(catalog::Scope scope, Draft draft) {
  const std::string name = draft.spec.name;
  const std::string app = draft.app.id.str();
  const auto spec = std::make_shared<const model::FunctionSpec>(std::move(draft.spec));
  Publication publication;
  publication.functions[name] = {spec->id, spec->version, spec, draft.keep, draft.shares};
  publication.turn = draft.turn;
  if (!draft.app_is_there) {
    publication.made = std::move(draft.app);
  }
  publication.state = model::AppState::deployed;
  publication.name = name;
  THAW_CO_TRY([[maybe_unused]] const model::App published,
              co_await parts_.deployments.publish(scope, app, std::move(publication)));
  auto found = parts_.invoke.find(scope, spec->dialect, name);
  if (!found) {
    co_return Error::not_found("function '" + name + "' was removed meanwhile");
  }
  found->spec = spec;  // of two that were published at once each is told its own
  co_return std::move(*found);
}

}  // namespace thaw::gateway
