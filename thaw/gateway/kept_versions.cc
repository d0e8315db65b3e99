// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/kept_versions.h"

#include <algorithm>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/policy/route_version.h"

namespace thaw::gateway {

using async::Task;

namespace {

constexpr Duration between_looks = 2s;
constexpr std::size_t looks_at_once = 500;

bool names(const model::Alias& alias, const std::string& version) {
  return std::any_of(alias.versions.begin(), alias.versions.end(),
                     [&](const auto& one) { return one.version == version; });
}

Error no_such_alias(const catalog::Function& function, const std::string& asked) {
  return Error::not_found("function " + function.tag + " has no alias and keeps no version '" +
                          asked.substr(0, 80) + "'; `thaw function show " + function.tag +
                          "` lists both");
}

}  // namespace

void KeptVersions::start() {
  // all workspaces: of each, what has outlived its time
  for (const auto& [id, kept] : parts_.catalog.versions.all()) {
    to_look_at_.insert(kept->function);
  }
  tasks_.start("old versions",
               async::every(between_looks, "old versions", [this] { return drop_outlived(); }));
}

std::shared_ptr<const model::FunctionSpec> KeptVersions::pick(const model::Alias& alias) {
  // One whose record was lost is left out.
  std::vector<model::WeightedVersion> there = alias.versions;
  std::erase_if(there, [&](const auto& one) {
    return !parts_.catalog.spec_of({alias.function, one.version});
  });
  const model::WeightedVersion* chosen = policy::route_version(there, random_());
  return chosen == nullptr ? nullptr : parts_.catalog.spec_of({alias.function, chosen->version});
}

Result<Route> KeptVersions::route(const catalog::Scope& scope, const catalog::Function& function,
                                  const std::string& asked) {
  const bool is_plain = asked.empty() || asked == model::live_alias;
  if (const auto alias = scope.alias(function.id, is_plain ? model::live_alias : asked)) {
    if (auto spec = pick(*alias)) {
      return Route{{function.id, spec->version}, std::move(spec)};
    }
  }
  const model::Target target(function.id, is_plain ? "" : asked);
  auto spec = scope.spec_of(target);
  if (!spec) {
    return no_such_alias(function, asked);
  }
  return Route{target, std::move(spec)};
}

KeptVersions::Aliases KeptVersions::aliases_of(const model::FunctionId& function) const {
  Aliases all;
  for (const auto& alias : parts_.catalog.aliases_of(function)) {
    all.emplace(alias->name, *alias);
  }
  return all;
}

Result<KeptVersions::Aliases> KeptVersions::aliases_with(const catalog::Function* before,
                                                         const catalog::Function& after,
                                                         const AliasShares& shares) const {
  Aliases all = aliases_of(after.id);
  for (const auto& [name, percent] : shares) {
    if (percent < 1 || percent > 100) {
      return Error::invalid_argument("the share of an alias is 1 to 100 percent, and that of " +
                                     name.substr(0, 80) + " is none");
    }
    model::Alias& alias = all[name];
    if (alias.versions.empty()) {
      alias = {model::alias_id(after.id, name), after.id, after.workspace, name, {}};
      // So far it was whatever was live.
      if (name == model::live_alias && before != nullptr) {
        alias.versions.push_back({before->live_version, 1});
      }
    }
    alias.versions = policy::give_share(alias.versions, after.live_version, percent);
    THAW_TRY_VOID(model::check(alias));
  }
  if (all.size() > model::most_aliases) {
    return Error::resource_exhausted("a function has at most " +
                                     std::to_string(model::most_aliases) +
                                     " aliases; remove one that is not needed");
  }
  return all;
}

std::vector<model::Target> KeptVersions::outlived(const catalog::Function& function,
                                                  const Aliases& aliases,
                                                  const std::vector<model::Target>& kept,
                                                  Past past) {
  const std::size_t stay = function.keep - std::min<std::size_t>(function.keep, 1);
  std::vector<model::Target> gone;
  to_look_at_.erase(function.id);
  for (std::size_t i = stay; i < kept.size(); ++i) {
    const bool is_named =
        (past == Past::keeps && parts_.catalog.app_versions.names(kept[i].str())) ||
        std::any_of(aliases.begin(), aliases.end(),
                    [&](const auto& entry) { return names(entry.second, kept[i].version); });
    if (is_named) {
      continue;
    }
    // Once it has ended, no new call can be pinned to it.
    if (held_.contains(kept[i]) || parts_.queue.demand(kept[i]).unfinished > 0 ||
        parts_.fleet.is_in_use(kept[i])) {
      to_look_at_.insert(function.id);
      continue;
    }
    gone.push_back(kept[i]);
  }
  return gone;
}

Result<std::vector<model::Target>> KeptVersions::publish(catalog::Change& change,
                                                         const catalog::Function* before,
                                                         const catalog::Function& after,
                                                         const AliasShares& shares, Past past) {
  if (before != nullptr && !before->live()) {
    before = nullptr;  // it was never published
  }
  THAW_TRY(const Aliases aliases, aliases_with(before, after, shares));
  std::vector<model::Target> kept;
  if (before != nullptr) {
    kept.emplace_back(after.id, before->live_version);
  }
  for (const auto& version : parts_.catalog.versions_of(after.id)) {
    if (version->spec->version == after.live_version) {
      change.erase(parts_.catalog.versions, version->id.str());  // live once more
    } else {
      kept.emplace_back(after.id, version->spec->version);
    }
  }
  std::vector<model::Target> gone = outlived(after, aliases, kept, past);
  for (const auto& [name, percent] : shares) {
    change.put(parts_.catalog.aliases, aliases.at(name));
  }
  for (const model::Target& target : gone) {
    change.erase(parts_.catalog.versions, catalog::version_id(target).str());
  }
  if (before != nullptr && std::find(gone.begin(), gone.end(), kept.front()) == gone.end()) {
    change.put(parts_.catalog.versions, catalog::kept_version(*before));
  }
  return gone;
}

Task<model::Alias> KeptVersions::set_alias(catalog::Scope scope, model::FunctionId id,
                                           std::string name,
                                           std::vector<model::WeightedVersion> versions) {
  const auto function = scope.function(id.str());
  if (!function) {
    co_return Error::not_found("function '" + id.str() + "' does not exist");
  }
  model::Alias alias{model::alias_id(id, name), id, function->workspace, std::move(name),
                     std::move(versions)};
  THAW_CO_TRY_VOID(model::check(alias));
  for (const model::WeightedVersion& one : alias.versions) {
    if (!scope.spec_of({id, one.version})) {
      co_return Error::not_found("function " + function->tag + " keeps no version '" +
                                 one.version.substr(0, 80) + "'; `thaw function show " +
                                 function->tag + "` lists what it keeps");
    }
  }
  if (!scope.alias(id, alias.name) && scope.aliases_of(id).size() >= model::most_aliases) {
    co_return Error::resource_exhausted("function " + function->tag + " has " +
                                        std::to_string(model::most_aliases) +
                                        " aliases, as many as it may; remove one first");
  }
  THAW_CO_TRY_VOID(co_await parts_.catalog.aliases.put(alias));
  parts_.fleet.reroute(id);
  to_look_at_.insert(id);  // what it named before may be one too many now
  co_return alias;
}

Task<void> KeptVersions::remove_alias(catalog::Scope scope, model::FunctionId id,
                                      std::string name) {
  const auto function = scope.function(id.str());
  const auto alias = scope.alias(id, name);
  if (!function || !alias) {
    co_return Error::not_found("function " + (function ? function->tag : id.str()) +
                               " has no alias '" + name.substr(0, 80) + "'");
  }
  THAW_CO_TRY_VOID(co_await parts_.catalog.aliases.erase(alias->id.str()));
  parts_.fleet.reroute(id);
  to_look_at_.insert(id);
  co_return ok();
}

// Its app is there and does not have it.
bool KeptVersions::was_dropped(const model::FunctionId& id) const {
  const auto kept = parts_.catalog.versions_of(id);
  // all workspaces: the app is the function's own
  const auto app = kept.empty() ? nullptr : parts_.catalog.apps.find(kept.front()->app.str());
  return app && std::none_of(app->functions.begin(), app->functions.end(),
                             [&](const auto& entry) { return entry.second == id; });
}

// What cannot be stored now is looked at again.
Task<void> KeptVersions::drop_outlived() {
  const std::set<model::FunctionId> functions = to_look_at_;
  Result<void> outcome;
  std::size_t looked_at = 0;
  for (const model::FunctionId& id : functions) {
    if (++looked_at % looks_at_once == 0) {
      THAW_CO_TRY_VOID(co_await async::yield());  // after a start it is all that there are
    }
    // all workspaces: of each, what has outlived its time
    const auto known = parts_.catalog.functions.find(id.str());
    // Of one that its app has dropped there are those that it can go back to, and the rest. One
    // whose record could not be read may be read again.
    catalog::Function dropped;
    dropped.id = id;
    if (!known && !was_dropped(id)) {
      to_look_at_.erase(id);
      continue;
    }
    const catalog::Function& function = known ? *known : dropped;
    std::vector<model::Target> kept;
    for (const auto& version : parts_.catalog.versions_of(id)) {
      kept.emplace_back(id, version->spec->version);
    }
    const std::vector<model::Target> gone = outlived(function, aliases_of(id), kept, Past::keeps);
    if (gone.empty()) {
      continue;
    }
    catalog::Change change;
    for (const model::Target& target : gone) {
      change.erase(parts_.catalog.versions, catalog::version_id(target).str());
    }
    Result<void> stored = co_await parts_.catalog.apply(std::move(change));
    if (stored) {
      let_go(gone);
    } else {
      to_look_at_.insert(id);
      outcome = outcome ? std::move(stored) : std::move(outcome);
    }
  }
  co_return outcome;
}

}  // namespace thaw::gateway
