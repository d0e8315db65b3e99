// SPDX-License-Identifier: Apache-2.0
//
// Environments: the named spaces of a workspace are made, changed and deleted. One that is deleted
// is found by nobody from then on; then its apps are stopped, and it goes with all that is in it,
// behind a crash too. The default one stays. Loop thread only.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/catalog/scope.h"
#include "thaw/gateway/deployments.h"
#include "thaw/gateway/named_states.h"

namespace thaw::gateway {

struct EnvironmentParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  Deployments& deployments;
  NamedStates& named_states;
};

class Environments {
 public:
  // All of `parts` outlive it.
  explicit Environments(EnvironmentParts parts) : parts_(parts), tasks_(parts.loop) {}

  // Begins to end what is to end.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // invalid_argument says what a name is; already_exists.
  async::Task<model::Environment> create(model::WorkspaceId workspace, std::string name);
  // What is to be another; none: as it is.
  struct Changes {
    std::optional<std::string> name;
    std::optional<std::string> web_suffix;  // of later deployments
    std::optional<std::string> builder_version;
  };
  // not_found; failed_precondition: a new name for the default one; else as create().
  async::Task<model::Environment> update(catalog::Scope scope, std::string name, Changes changes);
  // Resumes when all that was in it has gone. `by`: who asked for it, as people call them.
  // failed_precondition: the default one; not_found.
  async::Task<void> remove(catalog::Scope scope, std::string name, std::string by);

 private:
  async::Task<void> end_all();
  async::Task<void> end(model::EnvironmentId id, std::string by);
  static async::Task<void> end_things(Environments& self, model::EnvironmentId id, std::string by);

  EnvironmentParts parts_;
  std::set<model::EnvironmentId> ending_;  // somebody is at it
  async::Event ended_;
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::gateway
