// SPDX-License-Identifier: Apache-2.0
//
// Catalog: what exists, by id and by name. Lookups are memory; changes return when they are on
// disk. One workspace never sees another's objects: every lookup by id from outside goes through
// a workspace. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/async/task.h"
#include "thaw/catalog/object_table.h"
#include "thaw/catalog/records.h"
#include "thaw/model/app.h"
#include "thaw/model/named_state.h"
#include "thaw/model/token.h"
#include "thaw/model/volume.h"
#include "thaw/store/database.h"

namespace thaw::catalog {

// Several changes that are made together or not at all: catalog.apply(std::move(change)).
class Change {
 public:
  template <class T>
  Change& put(ObjectTable<T>& table, T value) {
    steps_.push_back(table.step_to_put(std::move(value)));
    return *this;
  }
  template <class T>
  Change& erase(ObjectTable<T>& table, const std::string& id) {
    steps_.push_back(table.step_to_erase(id));
    return *this;
  }

 private:
  friend class Catalog;
  std::vector<Step> steps_;
};

class Catalog {
 public:
  // Loads everything that can be read; the rest is set aside.
  static Result<std::unique_ptr<Catalog>> open(store::Database& database,
                                               CatalogLimits limits = {});

  Shares shares;
  ObjectTable<model::Workspace> workspaces;
  ObjectTable<model::Environment> environments;
  ObjectTable<model::Token> tokens;
  ObjectTable<model::App> apps;
  ObjectTable<Function> functions;
  ObjectTable<Version> versions;         // that are kept beside the live ones
  ObjectTable<AppVersion> app_versions;  // that one can go back to
  ObjectTable<model::Alias> aliases;
  ObjectTable<ScheduleState> schedules;
  ObjectTable<model::Class> classes;
  ObjectTable<model::Mount> mounts;
  ObjectTable<model::Secret> secrets;
  ObjectTable<model::Image> images;
  ObjectTable<model::ImageName> image_names;
  ObjectTable<model::Volume> volumes;
  ObjectTable<model::Dict> dicts;
  ObjectTable<model::ItemQueue> item_queues;
  ObjectTable<model::Box> boxes;  // those that ended lately too

  model::WorkspaceId default_workspace() const;
  // "" is the workspace's default environment. not_found names the environment.
  Result<std::shared_ptr<const model::Environment>> environment(const model::WorkspaceId& workspace,
                                                                const std::string& name) const;
  std::shared_ptr<const model::App> deployed_app(const model::EnvironmentId& environment,
                                                 const std::string& name) const;
  std::shared_ptr<const model::Mount> named_mount(const model::WorkspaceId& workspace,
                                                  const std::string& name) const;
  std::shared_ptr<const model::Secret> named_secret(const model::EnvironmentId& environment,
                                                    const std::string& name) const;
  std::shared_ptr<const model::Volume> named_volume(const model::EnvironmentId& environment,
                                                    const std::string& name) const;
  std::shared_ptr<const model::Dict> named_dict(const model::EnvironmentId& environment,
                                                const std::string& name) const;
  std::shared_ptr<const model::ItemQueue> named_item_queue(const model::EnvironmentId& environment,
                                                           const std::string& name) const;
  std::shared_ptr<const model::ImageName> image_name(const model::EnvironmentId& environment,
                                                     const std::string& name) const;
  // Live functions of an app, bound variants included.
  std::vector<std::shared_ptr<const Function>> functions_of(const model::AppId& app) const;

  // Of a version that is live or kept; of a target that is not pinned, the live one. nullptr: it is
  // not there (any more).
  std::shared_ptr<const model::FunctionSpec> spec_of(const model::Target& target) const;
  // Those beside the live one, the newest first.
  std::vector<std::shared_ptr<const Version>> versions_of(const model::FunctionId& function) const;
  // Those that one can go back to, the newest first.
  std::vector<std::shared_ptr<const AppVersion>> versions_of(const model::AppId& app) const;
  // By name.
  std::vector<std::shared_ptr<const model::Alias>> aliases_of(
      const model::FunctionId& function) const;
  std::shared_ptr<const model::Alias> alias(const model::FunctionId& function,
                                            const std::string& name) const;
  // All versions of all functions: live, kept, and drafts. What they name is in use.
  void each_spec(const std::function<void(const model::FunctionSpec&)>& visit) const;
  // Of any function: live, kept, or a draft. Costs a look-up.
  bool is_version(const std::string& version) const;
  // Of a function's version, of a box that lives, or of a name.
  bool is_image_in_use(const std::string& image) const;
  // Of a function's version.
  bool is_secret_of_a_version(const std::string& secret) const;
  // A function with its versions, its aliases and how far its schedule has come. What its app can
  // still go back to stays.
  void erase_function(Change& change, const model::FunctionId& function);

  // In one transaction; seen in memory at once, and undone there if the disk does not take it.
  async::Task<void> apply(Change change);
  // Removes an app that has ended for good with all it owns.
  async::Task<void> erase_app(model::AppId app);
  // The same, as a part of a change.
  void erase_app(Change& change, const model::AppId& app);

  // An environment of the workspace that is not there though objects are in it: its record was
  // lost, and one that is made anew takes its id, so that they are found again. Empty: none.
  model::EnvironmentId lost_environment(const model::WorkspaceId& workspace) const;

 private:
  explicit Catalog(store::Database& database);

  void erase_but_versions(Change& change, const model::FunctionId& function);

  store::Database& database_;
};

}  // namespace thaw::catalog
