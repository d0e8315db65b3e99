// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/models.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "thaw/base/log.h"
#include "thaw/catalog/model_cards.h"

namespace thaw::gateway {

namespace {

constexpr std::size_t fewest_cards = 1'000;  // that are kept without a look at who has gone

// Of its versions the one that gets most of what names none; nullptr: no alias says.
const model::WeightedVersion* heaviest(const model::Alias* alias) {
  if (alias == nullptr || alias->versions.empty()) {
    return nullptr;
  }
  return &*std::max_element(alias->versions.begin(), alias->versions.end(),
                            [](const auto& a, const auto& b) { return a.weight < b.weight; });
}

bool same_model(const model::ModelCard& a, const model::ModelCard& b) {
  return a.owner == b.owner && a.name == b.name;
}

}  // namespace

std::shared_ptr<const model::ModelCard> Models::card(
    const std::shared_ptr<const model::FunctionSpec>& spec) const {
  if (!spec) {
    return nullptr;
  }
  if (const auto known = cards_.find(spec); known != cards_.end()) {
    return known->second;
  }
  const auto read = catalog::model_card_of(spec->definition);
  if (!read) {
    log_warning("the card of a model cannot be read",
                {{"version", spec->version}, {"why", read.error().message()}});
  }
  if (!read || !*read) {
    return nullptr;
  }
  if (cards_.size() >= look_at_) {
    std::erase_if(cards_, [](const auto& one) { return one.first.expired(); });
    look_at_ = std::max(fewest_cards, 2 * cards_.size());
  }
  return cards_.emplace(spec, std::make_shared<const model::ModelCard>(**read)).first->second;
}

std::optional<Model> Models::model_of(const catalog::Scope& scope,
                                      const std::shared_ptr<const model::App>& app) const {
  const auto member = app->functions.find(app->name);
  const auto function =
      member == app->functions.end() ? nullptr : scope.function(member->second.str());
  const auto live = function ? function->live() : nullptr;
  if (!live) {
    return std::nullopt;
  }
  Model model{{app, function, live}, {card(live), live, function->number, function->published_at}};
  const auto alias = scope.alias(function->id, model::live_alias);
  const model::WeightedVersion* chosen = heaviest(alias.get());
  if (chosen != nullptr && chosen->version != live->version) {
    for (const auto& kept : scope.versions_of(function->id)) {
      if (kept->spec->version == chosen->version) {
        model.latest = {card(kept->spec), kept->spec, kept->number, kept->published_at};
      }
    }
  }
  return model.latest.card ? std::optional(std::move(model)) : std::nullopt;
}

std::vector<Model> Models::list(const catalog::Scope& scope) const {
  std::vector<Model> all;
  const auto environment = scope.environment_named("");
  if (!environment) {
    return all;
  }
  for (const auto& app : scope.apps_in((*environment)->id)) {
    if (app->state != model::AppState::deployed) {
      continue;
    }
    if (auto model = model_of(scope, app)) {
      all.push_back(std::move(*model));
    }
  }
  std::sort(all.begin(), all.end(), [](const Model& a, const Model& b) {
    return std::tie(a.latest.card->owner, a.latest.card->name) <
           std::tie(b.latest.card->owner, b.latest.card->name);
  });
  return all;
}

std::optional<Model> Models::find(const catalog::Scope& scope, const std::string& owner,
                                  const std::string& name) const {
  const auto environment = scope.environment_named("");
  const auto workspace = scope.workspace();
  if (!environment || !workspace) {
    return std::nullopt;
  }
  const std::string function = model::model_function(owner, name, workspace->name);
  const auto app = scope.deployed_app((*environment)->id, function);
  auto model = app ? model_of(scope, app) : std::nullopt;
  const bool is_it =
      model && model->latest.card->owner == owner && model->latest.card->name == name;
  return is_it ? std::move(model) : std::nullopt;
}

std::vector<ModelVersion> Models::versions(const catalog::Scope& scope, const Model& model) const {
  const catalog::Function& function = *model.published.function;
  std::vector<ModelVersion> all;
  const auto add = [&](const std::shared_ptr<const model::FunctionSpec>& spec, std::uint64_t number,
                       WallTime at) {
    const auto one = card(spec);
    if (one && same_model(*one, *model.latest.card)) {
      all.push_back({one, spec, number, at});
    }
  };
  add(function.live(), function.number, function.published_at);
  for (const auto& kept : scope.versions_of(function.id)) {
    add(kept->spec, kept->number, kept->published_at);
  }
  return all;
}

std::optional<ModelVersion> Models::version(const catalog::Scope& scope, const Model& model,
                                            const std::string& id) const {
  for (ModelVersion& one : versions(scope, model)) {
    if (one.card->id == id || one.spec->version == id) {
      return std::move(one);
    }
  }
  return std::nullopt;
}

std::optional<std::pair<Model, ModelVersion>> Models::version(const catalog::Scope& scope,
                                                              const std::string& id) const {
  for (Model& model : list(scope)) {
    if (auto found = version(scope, model, id)) {
      return std::pair(std::move(model), std::move(*found));
    }
  }
  return std::nullopt;
}

}  // namespace thaw::gateway
