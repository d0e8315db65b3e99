// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/publish.h"

#include <algorithm>

#include "thaw/catalog/model_cards.h"
#include "thaw/image/image.h"

namespace thaw::dialect::native {

using async::Task;

namespace {

// The host of a function is its name; in other workspaces than the default one, theirs before it.
std::string label_of(const Context& cx, const gateway::Identity& who, const std::string& name) {
  const catalog::Catalog& catalog = cx.owners.catalog;
  const auto workspace = gateway::scope_of(catalog, who).workspace();
  const bool is_default = who.workspace == catalog.default_workspace();
  const std::string label =
      is_default || !workspace ? name : gateway::lower_case(workspace->name) + "-" + name;
  return gateway::check_label(label) ? label : std::string();
}

// What is pushed of a model is what it is from then on, also after it was gone back to an older
// version: then one version alone has its plain address.
bool takes_the_address(const catalog::Scope& scope, const gateway::Draft& draft) {
  const auto live = scope.alias(draft.spec.id, model::live_alias);
  return live && live->versions.size() == 1 && !draft.shares.contains(model::live_alias);
}

}  // namespace

Result<bool> for_tokens(const Context& cx, PushRequest::Callers callers) {
  if (callers == PushRequest::Callers::anyone && !cx.place.is_on_loopback) {
    return Error::failed_precondition(
        "callers: this server is reached from other machines, so that its functions are for token "
        "holders; push with callers 'tokens'");
  }
  return callers == PushRequest::Callers::tokens ||
         (callers == PushRequest::Callers::by_place && !cx.place.is_on_loopback);
}

Task<Published> publish(Context& cx, gateway::Identity who, PushRequest request, model::Image image,
                        std::optional<model::ModelCard> card, std::uint64_t turn) {
  THAW_CO_TRY(const bool are_token_holders, for_tokens(cx, request.callers));
  const catalog::Scope scope = gateway::scope_of(cx.owners.catalog, who);
  THAW_CO_TRY(gateway::Draft draft, cx.owners.releases.begin(scope, dialect_name, request.name));
  model::FunctionSpec& spec = draft.spec;
  spec.image = image.id;
  spec.push = request.contract;
  // How its maker says that it is to be asked to end.
  THAW_CO_TRY(const image::BuildResult built, cx.owners.images.find(image.key));
  if (built.image.config.stop_signal != 0) {
    spec.push->stop_signal = built.image.config.stop_signal;
  }
  spec.resources = request.resources;
  spec.scaling = request.scaling;
  spec.timeout = request.timeout;
  spec.startup_timeout = request.startup_timeout;
  spec.snapshot_at = request.snapshot_at;
  spec.schedule = request.schedule;
  spec.reach = model::Reach::inputs;
  if (const std::string label = label_of(cx, who, request.name); !label.empty()) {
    model::WebEndpoint web;
    web.label = label;
    web.kind = model::WebEndpoint::Kind::server_port;
    web.port = request.contract.port;
    web.callers = are_token_holders ? model::WebEndpoint::Callers::token_holders
                                    : model::WebEndpoint::Callers::anyone;
    spec.web.push_back(std::move(web));
  }
  // A host is an extra: who has none is reached below /fn.
  if (!cx.owners.labels.check(draft.app, spec)) {
    spec.web.clear();
  }
  spec.definition =
      write_definition({request.preset, are_token_holders, request.env, request.schedule_path});
  if (card) {
    card->id = card->id.empty() ? store::sha256_hex(spec.version) : card->id;
    card->inputs = static_cast<std::uint32_t>(std::max(1, spec.scaling.max_concurrent_inputs));
    THAW_CO_TRY_VOID(model::check(*card));
    spec.definition = catalog::with_model_card(*card, spec.definition);
  }
  draft.keep = request.keep_versions > 0 ? request.keep_versions : cx.options.keep_versions;
  draft.shares = request.shares;
  if (card && takes_the_address(scope, draft)) {
    draft.shares[model::live_alias] = 100;
  }
  draft.turn = turn;
  co_return co_await cx.owners.releases.publish(scope, std::move(draft));
}

}  // namespace thaw::dialect::native
