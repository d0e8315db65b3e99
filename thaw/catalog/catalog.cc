// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/catalog.h"

#include <algorithm>
#include <map>

#include "thaw/codec/ids.h"

namespace thaw::catalog {

namespace {

constexpr const char* default_workspace_id = "ac-default";

}  // namespace

Catalog::Catalog(store::Database& database)
    : workspaces(database, shares, "workspace"),
      environments(database, shares, "environment"),
      tokens(database, shares, "token"),
      apps(database, shares, "app"),
      functions(database, shares, "function"),
      versions(database, shares, "version"),
      app_versions(database, shares, "app_version"),
      aliases(database, shares, "alias"),
      schedules(database, shares, "schedule"),
      classes(database, shares, "class"),
      mounts(database, shares, "mount"),
      secrets(database, shares, "secret"),
      images(database, shares, "image"),
      image_names(database, shares, "image_name"),
      volumes(database, shares, "volume"),
      dicts(database, shares, "dict"),
      item_queues(database, shares, "item_queue"),
      boxes(database, shares, "box"),
      database_(database) {}

Result<std::unique_ptr<Catalog>> Catalog::open(store::Database& database, CatalogLimits limits) {
  std::unique_ptr<Catalog> catalog(new Catalog(database));
  catalog->shares.limits = limits;
  THAW_TRY_VOID(catalog->workspaces.load());
  THAW_TRY_VOID(catalog->environments.load());
  THAW_TRY_VOID(catalog->tokens.load());
  THAW_TRY_VOID(catalog->apps.load());
  THAW_TRY_VOID(catalog->functions.load());
  THAW_TRY_VOID(catalog->versions.load());
  THAW_TRY_VOID(catalog->app_versions.load());
  THAW_TRY_VOID(catalog->aliases.load());
  THAW_TRY_VOID(catalog->schedules.load());
  THAW_TRY_VOID(catalog->classes.load());
  THAW_TRY_VOID(catalog->mounts.load());
  THAW_TRY_VOID(catalog->secrets.load());
  THAW_TRY_VOID(catalog->images.load());
  THAW_TRY_VOID(catalog->image_names.load());
  THAW_TRY_VOID(catalog->volumes.load());
  THAW_TRY_VOID(catalog->dicts.load());
  THAW_TRY_VOID(catalog->item_queues.load());
  THAW_TRY_VOID(catalog->boxes.load());
  return catalog;
}

model::WorkspaceId Catalog::default_workspace() const {
  return model::WorkspaceId(default_workspace_id);
}

Result<std::shared_ptr<const model::Environment>> Catalog::environment(
    const model::WorkspaceId& workspace, const std::string& name) const {
  const std::string wanted = name.empty() ? "main" : name;
  const auto found = environments.find_by_key(named_key(workspace, wanted));
  if (!found.empty()) {
    return found.front();
  }
  return Error::not_found("environment '" + wanted + "' does not exist in this workspace");
}

std::shared_ptr<const model::App> Catalog::deployed_app(const model::EnvironmentId& environment,
                                                        const std::string& name) const {
  for (const auto& app : apps.find_by_key(named_key(environment, name))) {
    if (app->state == model::AppState::deployed) {
      return app;
    }
  }
  return nullptr;
}

std::shared_ptr<const model::Mount> Catalog::named_mount(const model::WorkspaceId& workspace,
                                                         const std::string& name) const {
  for (const auto& mount : mounts.find_by_key(name)) {
    if (mount->workspace == workspace) {
      return mount;
    }
  }
  return nullptr;
}

std::shared_ptr<const model::Secret> Catalog::named_secret(const model::EnvironmentId& environment,
                                                           const std::string& name) const {
  const auto found = secrets.find_by_key(named_key(environment, name));
  return found.empty() ? nullptr : found.front();
}

std::vector<std::shared_ptr<const Function>> Catalog::functions_of(const model::AppId& app) const {
  return functions.find_by_key(app.str());
}

std::shared_ptr<const model::FunctionSpec> Catalog::spec_of(const model::Target& target) const {
  const auto function = functions.find(target.function.str());
  // What is not published has no versions to call.
  auto live = function ? function->live() : nullptr;
  if (!live || !target.is_pinned() || target.version == live->version) {
    return live;
  }
  const auto kept = versions.find(version_id(target).str());
  return kept ? kept->spec : nullptr;
}

std::vector<std::shared_ptr<const Version>> Catalog::versions_of(
    const model::FunctionId& function) const {
  auto kept = versions.find_by_key(function.str());
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a->number > b->number; });
  return kept;
}

std::vector<std::shared_ptr<const AppVersion>> Catalog::versions_of(const model::AppId& app) const {
  auto kept = app_versions.find_by_key(app.str());
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return a->number > b->number; });
  return kept;
}

std::vector<std::shared_ptr<const model::Alias>> Catalog::aliases_of(
    const model::FunctionId& function) const {
  auto found = aliases.find_by_key(function.str());
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a->name < b->name; });
  return found;
}

std::shared_ptr<const model::Alias> Catalog::alias(const model::FunctionId& function,
                                                   const std::string& name) const {
  return aliases.find(model::alias_id(function, name).str());
}

void Catalog::each_spec(const std::function<void(const model::FunctionSpec&)>& visit) const {
  for (const auto& [id, function] : functions.all()) {
    for (const auto& [version, spec] : function->versions) {
      visit(*spec);
    }
  }
  for (const auto& [id, kept] : versions.all()) {
    visit(*kept->spec);
  }
}

bool Catalog::is_version(const std::string& version) const {
  return functions.names(version) || versions.names(version);
}

bool Catalog::is_image_in_use(const std::string& image) const {
  return functions.names(image) || versions.names(image) || boxes.names(image) ||
         image_names.names(image);
}

bool Catalog::is_secret_of_a_version(const std::string& secret) const {
  return functions.names(secret) || versions.names(secret);
}

void Catalog::erase_function(Change& change, const model::FunctionId& function) {
  erase_but_versions(change, function);
  for (const auto& kept : versions.find_by_key(function.str())) {
    if (!app_versions.names(kept->id.str())) {
      change.erase(versions, kept->id.str());
    }
  }
}

void Catalog::erase_but_versions(Change& change, const model::FunctionId& function) {
  change.erase(functions, function.str());
  for (const auto& one : aliases.find_by_key(function.str())) {
    change.erase(aliases, one->id.str());
  }
  if (const std::string schedule = schedule_id(function).str(); schedules.find(schedule)) {
    change.erase(schedules, schedule);
  }
}

model::EnvironmentId Catalog::lost_environment(const model::WorkspaceId& workspace) const {
  std::map<model::EnvironmentId, std::size_t> uses;
  const auto count = [&](const auto& table) {
    for (const auto& [id, object] : table.all()) {
      if (object->workspace == workspace && !object->environment.empty() &&
          !environments.find(object->environment.str())) {
        ++uses[object->environment];
      }
    }
  };
  count(apps);
  count(secrets);
  count(volumes);
  count(image_names);
  count(dicts);
  count(item_queues);
  count(boxes);
  const auto most = std::max_element(
      uses.begin(), uses.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == uses.end() ? model::EnvironmentId() : most->first;
}

async::Task<void> Catalog::apply(Change change) {
  co_return co_await apply_steps(database_, std::move(change.steps_));
}

async::Task<void> Catalog::erase_app(model::AppId app) {
  Change change;
  erase_app(change, app);
  co_return co_await apply(std::move(change));
}

void Catalog::erase_app(Change& change, const model::AppId& app) {
  for (const auto& function : functions_of(app)) {
    erase_but_versions(change, function->id);
  }
  for (const auto& kept : versions.find_by_owner(app.str())) {
    change.erase(versions, kept->id.str());
  }
  for (const auto& kept : app_versions.find_by_key(app.str())) {
    change.erase(app_versions, kept->id.str());
  }
  for (const auto& secret : secrets.find_by_key(owned_key(app))) {
    change.erase(secrets, secret->id.str());
  }
  for (const auto& one : classes.find_by_key(app.str())) {
    change.erase(classes, one->id.str());
  }
  change.erase(apps, app.str());
}

}  // namespace thaw::catalog
