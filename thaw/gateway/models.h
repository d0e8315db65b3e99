// SPDX-License-Identifier: Apache-2.0
//
// Models: the functions of a scope that say of themselves what goes in and comes out, as those find
// them who look for owner/name and for versions by their ids. The card of each version is read once
// and kept while the version is there. Any dialect may have published them, and any may serve them.
// Loop thread only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/catalog/scope.h"
#include "thaw/gateway/invoke.h"
#include "thaw/model/model_card.h"

namespace thaw::gateway {

struct ModelVersion {
  std::shared_ptr<const model::ModelCard> card;
  std::shared_ptr<const model::FunctionSpec> spec;
  std::uint64_t number = 0;  // of the function's publications; a later one has a greater one
  WallTime published_at{};
};

struct Model {
  Published published;
  ModelVersion latest;  // which those get who name no version
};

class Models {
 public:
  // In the default environment of the scope, by owner and name.
  std::vector<Model> list(const catalog::Scope& scope) const;
  std::optional<Model> find(const catalog::Scope& scope, const std::string& owner,
                            const std::string& name) const;
  // Those that are live or kept, the newest first; of one model only, should the function have been
  // another one before.
  std::vector<ModelVersion> versions(const catalog::Scope& scope, const Model& model) const;
  // `id`: a card's, or what the function calls its version. Of a model that is found already.
  std::optional<ModelVersion> version(const catalog::Scope& scope, const Model& model,
                                      const std::string& id) const;
  // Of whichever model of the scope.
  std::optional<std::pair<Model, ModelVersion>> version(const catalog::Scope& scope,
                                                        const std::string& id) const;
  // Of a version, such as that of a route; null: it is no model.
  std::shared_ptr<const model::ModelCard> card(
      const std::shared_ptr<const model::FunctionSpec>& spec) const;

 private:
  std::optional<Model> model_of(const catalog::Scope& scope,
                                const std::shared_ptr<const model::App>& app) const;

  // By version. What has gone is forgotten as new ones come.
  mutable std::map<std::weak_ptr<const model::FunctionSpec>,
                   std::shared_ptr<const model::ModelCard>, std::owner_less<>>
      cards_;
  mutable std::size_t look_at_ = 1'000;  // cards, at which those that have gone are looked for
};

}  // namespace thaw::gateway
