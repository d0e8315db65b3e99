// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/image_models.h"

#include <utility>

#include "thaw/base/log.h"
#include "thaw/dialect/native/card_maker.h"
#include "thaw/dialect/native/publish.h"
#include "thaw/model/push_presets.h"

namespace thaw::dialect::native {

using async::Task;
using gateway::Identity;

namespace {

constexpr std::size_t most_waiting = 16;  // images of one workspace
constexpr gateway::Operation making = {"to make a version of a model", model::TokenScope::deploy,
                                       gateway::Operation::Of::functions};

// OWNER/NAME, or NAME of the workspace's own.
Result<PushedModel> model_of(const std::string& repository, const CogLabels& labels) {
  const std::size_t slash = repository.find('/');
  PushedModel model;
  model.owner = slash == std::string::npos ? "" : repository.substr(0, slash);
  model.name = slash == std::string::npos ? repository : repository.substr(slash + 1);
  if (model.name.find('/') != std::string::npos) {
    return Error::invalid_argument("models are OWNER/NAME, and its repository is " + repository);
  }
  model.schema_path = cog_schema_path;
  model.schema = labels.schema;
  model.made_with = labels.made_with;
  model.trains = labels.trains;
  return model;
}

// How its first version is, which nobody has said anything of but the image.
PushRequest first_of(const std::string& function, const ImageFacts& facts) {
  const Unsaid unsaid = unsaid_of(facts);
  PushRequest request;
  request.name = function;
  request.preset = unsaid.preset;
  request.contract = model::find_push_preset(unsaid.preset)->contract;
  request.contract.port = unsaid.port != 0 ? unsaid.port : request.contract.port;
  request.resources.gpu = unsaid.gpu;
  request.scaling.max_concurrent_inputs = unsaid.concurrency;
  request.snapshot_at = unsaid.snapshot_at;
  return request;
}

// What holds for the version that is live goes on to hold, but for what is the image's to say.
Result<PushRequest> next_of(const Published& published, const ImageFacts& facts) {
  const model::FunctionSpec& live = *published.spec;
  THAW_TRY(const Definition definition, read_definition(live.definition));
  PushRequest request = first_of(live.name, facts);
  const int at_once = request.scaling.max_concurrent_inputs;
  if (live.push && definition.preset == request.preset) {
    const int stop_signal = request.contract.stop_signal;  // an image may name another
    request.contract = *live.push;
    request.contract.stop_signal = stop_signal;
  }
  const std::string gpu = request.resources.gpu;
  request.resources = live.resources;
  request.resources.gpu = gpu.empty() ? live.resources.gpu : gpu;
  request.scaling = live.scaling;
  if (!definition.env.contains("COG_MAX_CONCURRENCY")) {
    request.scaling.max_concurrent_inputs = at_once;
  }
  request.timeout = live.timeout;
  request.startup_timeout = live.startup_timeout;
  request.snapshot_at = live.snapshot_at;
  request.schedule = live.schedule;
  request.schedule_path = definition.schedule_path;
  request.env = definition.env;
  request.keep_versions = published.function->keep;
  request.callers =
      definition.for_tokens ? PushRequest::Callers::tokens : PushRequest::Callers::by_place;
  return request;
}

}  // namespace

// One image of a function at a time, and so many of a workspace; ends with its holder.
class ImageModels::Turn {
 public:
  explicit Turn(ImageModels& all) : all_(all) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (is_counted_ && --all_.waiting_[workspace_] == 0) {
      all_.waiting_.erase(workspace_);
    }
    if (!function_.empty()) {
      all_.busy_.erase(function_);
      all_.turn_ended_.notify_all();
    }
  }
  Task<void> begin(model::WorkspaceId workspace, std::string function) {
    if (all_.waiting_[workspace] >= most_waiting) {
      co_return Error::resource_exhausted(
          std::to_string(most_waiting) +
          " images of this workspace are being made versions of models already; push it again in "
          "a while");
    }
    workspace_ = workspace;
    is_counted_ = true;
    ++all_.waiting_[workspace_];
    const std::string key = workspace_.str() + " " + function;
    while (all_.busy_.contains(key)) {
      THAW_CO_TRY([[maybe_unused]] const bool notified,
                  co_await all_.turn_ended_.wait(Instant::max()));
    }
    all_.busy_.insert(key);
    function_ = key;
    co_return ok();
  }

 private:
  ImageModels& all_;
  model::WorkspaceId workspace_;
  bool is_counted_ = false;
  std::string function_;
};

Task<void> ImageModels::take(gateway::TakenImage image) {
  const std::string name =
      cx_.place.authority + "/" + image.repository + "@sha256:" + image.sha256_hex;
  auto facts = co_await look_at_image(cx_, image.who.workspace, name);
  if (!facts && facts.error().code() == Code::cancelled) {
    co_return facts.error();
  }
  // What is no image that runs here, such as a signature, says nothing of a model either.
  if (!facts || (facts->cog && !*facts->cog)) {
    co_return ok();
  }
  const std::string repository = image.repository;
  const std::string version = image.sha256_hex;
  Result<void> made = facts->cog ? co_await make_version(std::move(image), std::move(*facts))
                                 : Result<void>(facts->cog.error());
  if (!made && made.error().code() != Code::cancelled) {
    log_warning("a pushed image of Cog became no version of a model",
                {{"repository", repository}, {"digest", version}, {"why", made.error().message()}});
    co_return Error(made.error().code(),
                    "the image is kept, and is no version of a model: " + made.error().message());
  }
  co_return made;
}

Task<void> ImageModels::make_version(gateway::TakenImage image, ImageFacts facts) {
  THAW_CO_TRY_VOID(gateway::check_may(image.who, making));
  THAW_CO_TRY(PushedModel model, model_of(image.repository, **facts.cog));
  const catalog::Scope scope = gateway::scope_of(cx_.owners.catalog, image.who);
  THAW_CO_TRY(const std::string function, function_for(cx_, scope, model));
  THAW_CO_TRY_VOID(gateway::check_names(image.who, function, function));
  Turn turn(*this);
  THAW_CO_TRY_VOID(co_await turn.begin(image.who.workspace, function));
  const auto known = cx_.models.find(scope, model.owner, model.name);
  const auto same = known ? cx_.models.version(scope, *known, image.sha256_hex) : std::nullopt;
  if (!same) {
    co_return co_await publish_version(std::move(image.who), std::move(model),
                                       std::move(image.sha256_hex), std::move(facts));
  }
  if (same->card->id == known->latest.card->id) {
    co_return ok();
  }
  // An older one, which is what the model is again.
  std::vector<model::WeightedVersion> only{{same->spec->version, 1}};
  THAW_CO_TRY([[maybe_unused]] const model::Alias alias,
              co_await cx_.owners.versions.set_alias(scope, same->spec->id, model::live_alias,
                                                     std::move(only)));
  co_return ok();
}

Task<void> ImageModels::publish_version(Identity who, PushedModel model, std::string id,
                                        ImageFacts facts) {
  const std::uint64_t turn = cx_.owners.deployments.begin();
  const catalog::Scope scope = gateway::scope_of(cx_.owners.catalog, who);
  THAW_CO_TRY(const gateway::Releases::Wanted wanted,
              co_await cx_.owners.releases.image_for(who.workspace, facts.recipe));
  THAW_CO_TRY_VOID(co_await gateway::Releases::until_built(wanted.build));
  THAW_CO_TRY(model::ModelCard card, co_await card_for(cx_, who, model, wanted.image.key));
  card.id = std::move(id);
  // Nobody waits from here on.
  THAW_CO_TRY(const std::string function, function_for(cx_, scope, model));
  PushRequest request = first_of(function, facts);
  if (const auto live = cx_.owners.invoke.find(scope, dialect_name, function)) {
    if (!cx_.models.card(live->spec)) {
      co_return Error::already_exists("function " + function +
                                      " is here and is no model; remove it first, or choose "
                                      "another name");
    }
    THAW_CO_TRY(request, next_of(*live, facts));
  }
  THAW_CO_TRY([[maybe_unused]] const Published published,
              co_await publish(cx_, std::move(who), std::move(request), wanted.image,
                               std::move(card), turn));
  co_return ok();
}

}  // namespace thaw::dialect::native
