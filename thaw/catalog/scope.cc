// SPDX-License-Identifier: Apache-2.0
#include "thaw/catalog/scope.h"

#include <type_traits>

namespace thaw::catalog {

Scope::Scope(const Catalog& catalog, model::WorkspaceId workspace)
    : catalog_(catalog), workspace_(std::move(workspace)) {}

Scope::Scope(const Catalog& catalog, model::WorkspaceId workspace, model::EnvironmentId environment)
    : catalog_(catalog), workspace_(std::move(workspace)), environment_(std::move(environment)) {}

Scope Scope::narrowed_to(const model::Grants& grants) const {
  Scope narrow = *this;
  narrow.grants_ = grants;
  return narrow;
}

bool Scope::names_app(const model::App& app) const { return grants_.names_app(app.title()); }

bool Scope::names(const model::AppId& id, const std::string& function) const {
  const auto app = catalog_.apps.find(id.str());
  return !grants_.is_narrow() || (app && grants_.names(app->title(), function));
}

bool Scope::covers(const model::WorkspaceId& workspace,
                   const model::EnvironmentId& environment) const {
  return workspace == workspace_ && (environment_.empty() || environment == environment_);
}

template <class T>
Found<T> Scope::inside(const Found<T>& object) const {
  if (!object || !covers(object->workspace, object->environment)) {
    return nullptr;
  }
  if constexpr (std::is_same_v<T, model::App>) {
    return names_app(*object) ? object : nullptr;
  } else {
    return grants_.is_narrow() ? nullptr : object;
  }
}

template <class T>
std::vector<Found<T>> Scope::in(const ObjectTable<T>& table,
                                const model::EnvironmentId& environment) const {
  std::vector<Found<T>> found;
  for (const auto& [id, object] : table.all()) {
    if (object->environment == environment && inside(object)) {
      found.push_back(object);
    }
  }
  return found;
}

Found<model::App> Scope::app(const std::string& id) const { return inside(catalog_.apps.find(id)); }

Found<Function> Scope::function(const std::string& id) const {
  auto function = catalog_.functions.find(id);
  return function && app(function->app.str()) && names(function->app, function->tag) ? function
                                                                                     : nullptr;
}

Found<model::Class> Scope::app_class(const std::string& id) const {
  auto found = catalog_.classes.find(id);
  // Its functions are CLASS.METHOD, and CLASS.* is all of them.
  return found && app(found->app.str()) && names(found->app, found->tag + ".*") ? found : nullptr;
}

Found<model::Secret> Scope::secret(const std::string& id) const {
  return inside(catalog_.secrets.find(id));
}

Found<model::Volume> Scope::volume(const std::string& id) const {
  return inside(catalog_.volumes.find(id));
}

Found<model::Dict> Scope::dict(const std::string& id) const {
  return inside(catalog_.dicts.find(id));
}

Found<model::ItemQueue> Scope::item_queue(const std::string& id) const {
  return inside(catalog_.item_queues.find(id));
}

Found<model::Box> Scope::box(const std::string& id) const {
  return inside(catalog_.boxes.find(id));
}

Found<model::Image> Scope::image(const std::string& id) const {
  auto image = catalog_.images.find(id);
  return image && image->workspace == workspace_ && !grants_.is_narrow() ? image : nullptr;
}

Found<model::Mount> Scope::mount(const std::string& id) const {
  auto mount = catalog_.mounts.find(id);
  const bool is_given = mount && mount->workspace == catalog_.default_workspace() &&
                        !mount->name.empty() && mount->files.empty();
  const bool is_own = mount && mount->workspace == workspace_ && !grants_.is_narrow();
  return is_given || is_own ? mount : nullptr;
}

Found<model::Environment> Scope::environment(const model::EnvironmentId& id) const {
  auto found = catalog_.environments.find(id.str());
  return found && covers(found->workspace, found->id) ? found : nullptr;
}

bool Scope::is_open(const model::EnvironmentId& id) const {
  const auto found = environment(id);
  return found && found->life == model::Environment::Life::there;
}

Found<model::Workspace> Scope::workspace() const {
  return catalog_.workspaces.find(workspace_.str());
}

Result<Found<model::Environment>> Scope::environment_named(const std::string& name) const {
  if (environment_.empty()) {
    return catalog_.environment(workspace_, name);
  }
  auto own = environment(environment_);
  if (own && own->life == model::Environment::Life::there && (name.empty() || own->name == name)) {
    return own;
  }
  return Error::not_found("environment '" + name.substr(0, 80) +
                          "' does not exist for this container, which acts in its own environment"
                          " only; SECURITY.md says how a function asks for more");
}

Found<model::App> Scope::deployed_app(const model::EnvironmentId& environment,
                                      const std::string& name) const {
  return inside(catalog_.deployed_app(environment, name));
}

std::vector<Found<model::App>> Scope::apps_named(const model::EnvironmentId& environment_id,
                                                 const std::string& name) const {
  std::vector<Found<model::App>> found;
  if (!name.empty()) {
    found = catalog_.apps.find_by_key(named_key(environment_id, name));
    std::erase_if(found, [this](const auto& one) { return !inside(one); });
  }
  return found;
}

Found<model::Secret> Scope::named_secret(const model::EnvironmentId& environment,
                                         const std::string& name) const {
  return inside(catalog_.named_secret(environment, name));
}

Found<model::Volume> Scope::named_volume(const model::EnvironmentId& environment,
                                         const std::string& name) const {
  return inside(catalog_.named_volume(environment, name));
}

Found<model::Dict> Scope::named_dict(const model::EnvironmentId& environment,
                                     const std::string& name) const {
  return inside(catalog_.named_dict(environment, name));
}

Found<model::ItemQueue> Scope::named_item_queue(const model::EnvironmentId& environment,
                                                const std::string& name) const {
  return inside(catalog_.named_item_queue(environment, name));
}

Found<model::ImageName> Scope::image_name(const model::EnvironmentId& environment,
                                          const std::string& name) const {
  return inside(catalog_.image_name(environment, name));
}

Found<model::Box> Scope::named_box(const model::AppId& id, const std::string& name) const {
  Found<model::Box> last;
  if (!name.empty() && app(id.str())) {
    for (const auto& one : catalog_.boxes.find_by_key(box_key(id, name))) {
      const bool is_later =
          !last || (last->has_ended() && !one->has_ended()) ||
          (last->has_ended() == one->has_ended() && last->created_at < one->created_at);
      last = is_later ? one : last;
    }
  }
  return last;
}

std::vector<Found<model::Environment>> Scope::environments() const {
  std::vector<Found<model::Environment>> found;
  for (const auto& [id, environment] : catalog_.environments.all()) {
    if (covers(environment->workspace, environment->id) &&
        environment->life == model::Environment::Life::there) {
      found.push_back(environment);
    }
  }
  return found;
}

std::vector<Found<model::App>> Scope::apps_in(const model::EnvironmentId& environment) const {
  return in(catalog_.apps, environment);
}

std::vector<Found<model::Secret>> Scope::secrets_in(const model::EnvironmentId& environment) const {
  return in(catalog_.secrets, environment);
}

std::vector<Found<model::Volume>> Scope::volumes_in(const model::EnvironmentId& environment) const {
  return in(catalog_.volumes, environment);
}

std::vector<Found<model::Dict>> Scope::dicts_in(const model::EnvironmentId& environment) const {
  return in(catalog_.dicts, environment);
}

std::vector<Found<model::ItemQueue>> Scope::item_queues_in(
    const model::EnvironmentId& environment) const {
  return in(catalog_.item_queues, environment);
}

std::vector<Found<model::ImageName>> Scope::image_names_in(
    const model::EnvironmentId& environment) const {
  return in(catalog_.image_names, environment);
}

std::vector<Found<model::Box>> Scope::boxes_in(const model::EnvironmentId& environment) const {
  return in(catalog_.boxes, environment);
}

std::vector<Found<Function>> Scope::functions_of(const model::AppId& id) const {
  std::vector<Found<Function>> found;
  if (app(id.str())) {
    found = catalog_.functions_of(id);
    std::erase_if(found, [this](const auto& one) { return !names(one->app, one->tag); });
  }
  return found;
}

Found<model::FunctionSpec> Scope::spec_of(const model::Target& target) const {
  return function(target.function.str()) ? catalog_.spec_of(target) : nullptr;
}

std::vector<Found<AppVersion>> Scope::versions_of(const model::AppId& app_id) const {
  return app(app_id.str()) ? catalog_.versions_of(app_id) : std::vector<Found<AppVersion>>();
}

std::vector<Found<Version>> Scope::versions_of(const model::FunctionId& id) const {
  return function(id.str()) ? catalog_.versions_of(id) : std::vector<Found<Version>>();
}

std::vector<Found<model::Alias>> Scope::aliases_of(const model::FunctionId& id) const {
  return function(id.str()) ? catalog_.aliases_of(id) : std::vector<Found<model::Alias>>();
}

Found<ScheduleState> Scope::schedule_of(const model::FunctionId& id) const {
  return function(id.str()) ? catalog_.schedules.find(schedule_id(id).str()) : nullptr;
}

Found<model::Alias> Scope::alias(const model::FunctionId& id, const std::string& name) const {
  return function(id.str()) ? catalog_.alias(id, name) : nullptr;
}

}  // namespace thaw::catalog
