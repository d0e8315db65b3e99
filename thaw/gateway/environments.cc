// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/environments.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;
using model::Environment;

namespace {

constexpr std::size_t longest_name = 64;
constexpr std::size_t longest_suffix = 32;
constexpr Duration between_looks = 2s;
constexpr const char* default_name = "main";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// What begins with "en-" is an id.
bool looks_like_an_id(const std::string& name) {
  return name.size() >= 3 && (name[0] == 'e' || name[0] == 'E') &&
         (name[1] == 'n' || name[1] == 'N') && name[2] == '-';
}

Result<void> check_name(const std::string& name) {
  const bool is_good = !name.empty() && name.size() <= longest_name &&
                       is_letter_or_digit(name[0]) && !looks_like_an_id(name) &&
                       std::all_of(name.begin(), name.end(), [](char c) {
                         return is_letter_or_digit(c) || c == '-' || c == '_';
                       });
  if (is_good) {
    return ok();
  }
  return Error::invalid_argument(
      "an environment's name is 1 to 64 letters, digits, '-' and '_', begins with a letter or a "
      "digit and not with \"en-\", and '" +
      name.substr(0, longest_name) + "' is not");
}

Result<void> check_suffix(const std::string& suffix) {
  const bool is_good =
      suffix.size() <= longest_suffix && std::all_of(suffix.begin(), suffix.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
      });
  if (is_good) {
    return ok();
  }
  return Error::invalid_argument("a web suffix is at most 32 small letters, digits and '-', and '" +
                                 suffix.substr(0, longest_suffix) + "' is not");
}

Error exists_already(const std::string& name) {
  return Error::already_exists("environment '" + name + "' exists already");
}

Error stays(const std::string& what) {
  return Error::failed_precondition(
      std::string("environment '") + default_name +
      "' is the one that is meant where none is named; it cannot be " + what);
}

}  // namespace

void Environments::start() {
  tasks_.start("environments",
               async::every(between_looks, "environments", [this] { return end_all(); }));
}

Task<Environment> Environments::create(model::WorkspaceId workspace, std::string name) {
  THAW_CO_TRY_VOID(check_name(name));
  if (parts_.catalog.environment(workspace, name)) {
    co_return exists_already(name);
  }
  Environment made;
  made.id = model::EnvironmentId(codec::random_id("en"));
  made.workspace = std::move(workspace);
  made.name = std::move(name);
  made.created_at = wall_now();
  THAW_CO_TRY_VOID(co_await parts_.catalog.environments.put(made));
  co_return made;
}

Task<Environment> Environments::update(catalog::Scope scope, std::string name, Changes changes) {
  THAW_CO_TRY(const auto known, scope.environment_named(name));
  Environment after = *known;
  if (changes.name && *changes.name != known->name) {
    if (known->name == default_name) {
      co_return stays("renamed");
    }
    THAW_CO_TRY_VOID(check_name(*changes.name));
    if (parts_.catalog.environment(known->workspace, *changes.name)) {
      co_return exists_already(*changes.name);
    }
    after.name = std::move(*changes.name);
  }
  if (changes.web_suffix) {
    THAW_CO_TRY_VOID(check_suffix(*changes.web_suffix));
    after.web_suffix = std::move(changes.web_suffix);
  }
  if (changes.builder_version) {
    after.builder_version = std::move(*changes.builder_version);
  }
  THAW_CO_TRY_VOID(co_await parts_.catalog.environments.put(after));
  co_return after;
}

Task<void> Environments::remove(catalog::Scope scope, std::string name, std::string by) {
  THAW_CO_TRY(const auto known, scope.environment_named(name));
  if (known->name == default_name) {
    co_return stays("deleted");
  }
  Environment ending = *known;
  ending.life = Environment::Life::ending;
  const model::EnvironmentId id = ending.id;
  THAW_CO_TRY_VOID(co_await parts_.catalog.environments.put(std::move(ending)));
  co_return co_await end(id, std::move(by));
}

// One after the other; what cannot be done for one does not keep the others.
Task<void> Environments::end_all() {
  std::vector<model::EnvironmentId> ending;
  // all workspaces: what has ended anywhere
  for (const auto& [id, environment] : parts_.catalog.environments.all()) {
    if (environment->life == Environment::Life::ending) {
      ending.push_back(environment->id);
    }
  }
  Result<void> outcome;
  for (const model::EnvironmentId& id : ending) {
    Result<void> ended = co_await end(id, {});
    if (!ended && outcome) {
      outcome = std::move(ended);
    }
  }
  co_return outcome;
}

Task<void> Environments::end(model::EnvironmentId id, std::string by) {
  while (!ending_.insert(id).second) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await ended_.wait(Instant::max()));
    if (!parts_.catalog.environments.find(id.str())) {  // all workspaces: found by its caller
      co_return ok();
    }
  }
  Result<void> outcome = co_await end_things(*this, id, std::move(by));
  ending_.erase(id);
  ended_.notify_all();
  co_return outcome;
}

// Nothing new is begun in it: nobody finds it by its name, nor by that of a container in it.
Task<void> Environments::end_things(Environments& self, model::EnvironmentId id, std::string by) {
  catalog::Catalog& catalog = self.parts_.catalog;
  const auto environment = catalog.environments.find(id.str());  // all workspaces: as above
  if (!environment) {
    co_return ok();
  }
  const catalog::Scope scope(catalog, environment->workspace, id);
  // What was on its way when it was marked may come while this waits: until there is none.
  std::size_t dicts = 0;
  std::size_t queues = 0;
  for (bool is_quiet = false; !is_quiet;) {
    is_quiet = true;
    for (const auto& app : scope.apps_in(id)) {
      if (app->state != model::AppState::stopped) {
        is_quiet = false;
        THAW_CO_TRY_VOID(
            co_await self.parts_.deployments.stop_app(app->id, "its environment was deleted", by));
      }
    }
    for (const auto& dict : scope.dicts_in(id)) {
      is_quiet = false;
      ++dicts;
      THAW_CO_TRY_VOID(co_await self.parts_.named_states.erase(*dict));
    }
    for (const auto& queue : scope.item_queues_in(id)) {
      is_quiet = false;
      ++queues;
      THAW_CO_TRY_VOID(co_await self.parts_.named_states.erase(*queue));
    }
  }
  const auto apps = scope.apps_in(id);
  const auto secrets = scope.secrets_in(id);
  const auto volumes = scope.volumes_in(id);
  catalog::Change change;
  for (const auto& app : apps) {
    catalog.erase_app(change, app->id);
  }
  for (const auto& secret : secrets) {
    if (secret->owner.empty()) {
      change.erase(catalog.secrets, secret->id.str());
    }
  }
  for (const auto& volume : volumes) {
    model::Volume doomed = *volume;
    doomed.life = model::Volume::Life::doomed;  // its files go behind this
    doomed.environment = {};                    // which it has outlived
    change.put(catalog.volumes, std::move(doomed));
  }
  for (const auto& name : scope.image_names_in(id)) {
    change.erase(catalog.image_names, name->id.str());
  }
  change.erase(catalog.environments, id.str());
  THAW_CO_TRY_VOID(co_await catalog.apply(std::move(change)));
  log_info("environment deleted", {{"environment", environment->name},
                                   {"by", by},
                                   {"apps", std::to_string(apps.size())},
                                   {"secrets", std::to_string(secrets.size())},
                                   {"volumes", std::to_string(volumes.size())},
                                   {"dicts", std::to_string(dicts)},
                                   {"queues", std::to_string(queues)}});
  co_return ok();
}

}  // namespace thaw::gateway
