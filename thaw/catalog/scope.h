// SPDX-License-Identifier: Apache-2.0
//
// Scope: what one asker may see of the catalog: a workspace, or one environment of it. Whatever
// somebody outside has named, by id or by name, is looked up here and nowhere else, so that a thing
// of another workspace and one that never existed are the same: nothing. One that is narrowed to
// functions sees these and their apps, and nothing that is of no function. A value with a
// reference; lives no longer than the catalog. Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/catalog/catalog.h"

namespace thaw::catalog {

template <class T>
using Found = std::shared_ptr<const T>;  // nullptr: there is none in this scope

class Scope {
 public:
  Scope(const Catalog& catalog, model::WorkspaceId workspace);
  // Images and mounts have no environment: they are seen in all of their workspace.
  Scope(const Catalog& catalog, model::WorkspaceId workspace, model::EnvironmentId environment);

  // The same scope with the functions that these grants name, and their apps.
  Scope narrowed_to(const model::Grants& grants) const;

  bool covers(const model::WorkspaceId& workspace, const model::EnvironmentId& environment) const;
  // Whether it names a function of an app that may be gone. One that is not narrowed names all.
  bool names(const model::AppId& app, const std::string& function) const;

  Found<model::App> app(const std::string& id) const;
  Found<Function> function(const std::string& id) const;
  Found<model::Class> app_class(const std::string& id) const;
  Found<model::Secret> secret(const std::string& id) const;
  Found<model::Volume> volume(const std::string& id) const;
  Found<model::Dict> dict(const std::string& id) const;
  Found<model::ItemQueue> item_queue(const std::string& id) const;
  Found<model::Box> box(const std::string& id) const;
  Found<model::Image> image(const std::string& id) const;
  // Also those that the server gives to all workspaces.
  Found<model::Mount> mount(const std::string& id) const;
  Found<model::Environment> environment(const model::EnvironmentId& id) const;
  // Whether things may be made in it: it is there and does not end. Who has waited for anything
  // since it was found asks again before something is put into it.
  bool is_open(const model::EnvironmentId& id) const;
  Found<model::Workspace> workspace() const;

  // "" is the environment of this scope, or the workspace's default one. not_found names it.
  Result<Found<model::Environment>> environment_named(const std::string& name) const;
  Found<model::App> deployed_app(const model::EnvironmentId& environment,
                                 const std::string& name) const;
  // Deployed or not.
  std::vector<Found<model::App>> apps_named(const model::EnvironmentId& environment,
                                            const std::string& name) const;
  Found<model::Secret> named_secret(const model::EnvironmentId& environment,
                                    const std::string& name) const;
  Found<model::Volume> named_volume(const model::EnvironmentId& environment,
                                    const std::string& name) const;
  Found<model::Dict> named_dict(const model::EnvironmentId& environment,
                                const std::string& name) const;
  Found<model::ItemQueue> named_item_queue(const model::EnvironmentId& environment,
                                           const std::string& name) const;

  Found<model::ImageName> image_name(const model::EnvironmentId& environment,
                                     const std::string& name) const;

  // The one of that name that lives, or else the last that did; of an app that is seen here.
  Found<model::Box> named_box(const model::AppId& app, const std::string& name) const;

  // Without those that end.
  std::vector<Found<model::Environment>> environments() const;
  std::vector<Found<model::App>> apps_in(const model::EnvironmentId& environment) const;
  std::vector<Found<model::Secret>> secrets_in(const model::EnvironmentId& environment) const;
  std::vector<Found<model::Volume>> volumes_in(const model::EnvironmentId& environment) const;
  std::vector<Found<model::Dict>> dicts_in(const model::EnvironmentId& environment) const;
  std::vector<Found<model::ItemQueue>> item_queues_in(
      const model::EnvironmentId& environment) const;
  std::vector<Found<model::ImageName>> image_names_in(
      const model::EnvironmentId& environment) const;
  std::vector<Found<model::Box>> boxes_in(const model::EnvironmentId& environment) const;
  std::vector<Found<Function>> functions_of(const model::AppId& app) const;
  // Of a function that is seen here: catalog.h says more.
  Found<model::FunctionSpec> spec_of(const model::Target& target) const;
  std::vector<Found<Version>> versions_of(const model::FunctionId& function) const;
  std::vector<Found<AppVersion>> versions_of(const model::AppId& app) const;
  std::vector<Found<model::Alias>> aliases_of(const model::FunctionId& function) const;
  // Of a function that is seen here; nothing has been noted of one that had no tick yet.
  Found<ScheduleState> schedule_of(const model::FunctionId& function) const;
  Found<model::Alias> alias(const model::FunctionId& function, const std::string& name) const;

 private:
  template <class T>
  Found<T> inside(const Found<T>& object) const;
  bool names_app(const model::App& app) const;
  template <class T>
  std::vector<Found<T>> in(const ObjectTable<T>& table,
                           const model::EnvironmentId& environment) const;

  const Catalog& catalog_;
  model::WorkspaceId workspace_;
  model::EnvironmentId environment_;  // empty: all of the workspace
  model::Grants grants_;              // which functions
};

}  // namespace thaw::catalog
