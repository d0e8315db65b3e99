// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/kept_ready.h"

#include <algorithm>
#include <utility>

#include "thaw/policy/route_version.h"

namespace thaw::control {

namespace {

using Kept = std::vector<std::pair<model::Target, std::size_t>>;

Kept kept_of(const catalog::Catalog& catalog, const model::FunctionId& function) {
  const auto live = catalog.spec_of(model::Target(function));
  const int least = live ? live->scaling.min_containers : 0;
  if (least <= 0) {
    return {};
  }
  const auto all = static_cast<std::size_t>(least);
  const auto alias = catalog.alias(function, model::live_alias);
  std::vector<model::WeightedVersion> named;
  if (alias) {
    named = alias->versions;
    std::erase_if(named, [&](const auto& one) {
      return !catalog.spec_of({function, one.version});
    });
  }
  Kept kept;
  const std::vector<std::size_t> parts = policy::spread(named, all);
  for (std::size_t i = 0; i < named.size(); ++i) {
    if (parts[i] > 0) {
      kept.emplace_back(model::Target(function, named[i].version), parts[i]);
    }
  }
  if (kept.empty()) {
    kept.emplace_back(model::Target(function), all);
  }
  return kept;
}

}  // namespace

std::size_t kept_ready(const catalog::Catalog& catalog, const model::Target& target) {
  for (const auto& [kept, count] : kept_of(catalog, target.function)) {
    if (kept == target) {
      return count;
    }
  }
  return 0;
}

std::vector<model::Target> kept_ready_targets(const catalog::Catalog& catalog,
                                              const model::FunctionId& function) {
  std::vector<model::Target> targets;
  for (auto& [kept, count] : kept_of(catalog, function)) {
    targets.push_back(std::move(kept));
  }
  return targets;
}

}  // namespace thaw::control
