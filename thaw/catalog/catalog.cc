// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/catalog.h"

#include "thaw/codec/ids.h"

namespace thaw::catalog {

namespace {

constexpr const char* default_workspace_id = "ac-default";

}  // namespace

std::vector<store::Migration> migrations() {
  return {{"catalog", 1,
           "CREATE TABLE catalog_objects(kind TEXT NOT NULL, id TEXT NOT NULL, json TEXT NOT NULL, "
           "bytes BLOB NOT NULL, updated_us INTEGER NOT NULL, PRIMARY KEY(kind, id)) "
           "WITHOUT ROWID;"}};
}

Catalog::Catalog(store::Database& database)
    : workspaces(database, "workspace"),
      environments(database, "environment"),
      tokens(database, "token"),
      apps(database, "app"),
      functions(database, "function"),
      classes(database, "class"),
      mounts(database, "mount"),
      secrets(database, "secret"),
      images(database, "image"),
      volumes(database, "volume") {}

Result<std::unique_ptr<Catalog>> Catalog::open(store::Database& database) {
  std::unique_ptr<Catalog> catalog(new Catalog(database));
  THAW_TRY_VOID(catalog->workspaces.load());
  THAW_TRY_VOID(catalog->environments.load());
  THAW_TRY_VOID(catalog->tokens.load());
  THAW_TRY_VOID(catalog->apps.load());
  THAW_TRY_VOID(catalog->functions.load());
  THAW_TRY_VOID(catalog->classes.load());
  THAW_TRY_VOID(catalog->mounts.load());
  THAW_TRY_VOID(catalog->secrets.load());
  THAW_TRY_VOID(catalog->images.load());
  THAW_TRY_VOID(catalog->volumes.load());
  return catalog;
}

model::WorkspaceId Catalog::default_workspace() const {
  return model::WorkspaceId(default_workspace_id);
}

Result<std::shared_ptr<const model::Environment>> Catalog::environment(
    const model::WorkspaceId& workspace, const std::string& name) const {
  const std::string wanted = name.empty() ? "main" : name;
  for (const auto& [id, environment] : environments.all()) {
    if (environment->workspace == workspace && environment->name == wanted) {
      return environment;
    }
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

async::Task<void> Catalog::erase_app(model::AppId app) {
  for (const auto& function : functions_of(app)) {
    THAW_CO_TRY_VOID(co_await functions.erase(function->id.str()));
  }
  for (const auto& secret : secrets.find_by_key(owned_key(app))) {
    THAW_CO_TRY_VOID(co_await secrets.erase(secret->id.str()));
  }
  co_return co_await apps.erase(app.str());
}

}  // namespace thaw::catalog
