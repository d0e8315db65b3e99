// SPDX-License-Identifier: Apache-2.0
//
// KeptVersions: which versions of a function there are beside the live one, the aliases that name
// them, and which of them a request gets. A publication keeps what was live before it and drops
// what is one too many: the oldest, but none that an alias names or that its app can go back to,
// and none while a call that is pinned to it has not ended or somebody is served by it; those go
// later. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/scope.h"
#include "thaw/control/fleet.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

// Of what is published: percent of the requests to aliases, by their names.
using AliasShares = std::map<std::string, unsigned>;

struct Route {
  model::Target target;
  std::shared_ptr<const model::FunctionSpec> spec;  // of its version; of a follower, the live one
};

struct KeptVersionsParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  control::Fleet& fleet;
};

class KeptVersions {
 public:
  explicit KeptVersions(KeptVersionsParts parts) : parts_(parts), tasks_(parts.loop) {}
  // Begins to drop what is one too many and was in use before.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // Where a request goes. `asked`: an alias or a version; empty: the alias "live", or the live
  // version if there is no such alias. not_found: neither is there.
  Result<Route> route(const catalog::Scope& scope, const catalog::Function& function,
                      const std::string& asked);

  // Keeps it from being dropped while something is made for it: what was routed is still there when
  // the queue gets to know of the call. Ends before the KeptVersions do.
  class Hold {
   public:
    Hold(KeptVersions& versions, const model::Target& target)
        : versions_(versions), place_(versions.held_.insert(target)) {}
    ~Hold() { versions_.held_.erase(place_); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    KeptVersions& versions_;
    std::multiset<model::Target>::iterator place_;
  };

  // Whether what the app was deployed as before keeps its versions, or goes with this change.
  enum class Past { keeps, goes };
  // `after` is about to be live in the place of `before` (null: it is the first): adds to `change`
  // what that means for versions and aliases. invalid_argument for a share that no alias can have,
  // resource_exhausted for one alias too many. Returns what is dropped: for let_go(), once it is
  // stored.
  Result<std::vector<model::Target>> publish(catalog::Change& change,
                                             const catalog::Function* before,
                                             const catalog::Function& after,
                                             const AliasShares& shares, Past past = Past::keeps);
  void let_go(const std::vector<model::Target>& dropped) { parts_.fleet.let_go(dropped); }
  // Something that kept versions of these has gone, an alias or what their app can go back to: who
  // has outlived its time goes soon. They need not be there any more.
  void look_at(const std::vector<model::FunctionId>& functions) {
    to_look_at_.insert(functions.begin(), functions.end());
  }

  // In the place of what it named. not_found: no such function or version.
  async::Task<model::Alias> set_alias(catalog::Scope scope, model::FunctionId function,
                                      std::string name,
                                      std::vector<model::WeightedVersion> versions);
  // not_found: there is none.
  async::Task<void> remove_alias(catalog::Scope scope, model::FunctionId function,
                                 std::string name);

 private:
  using Aliases = std::map<std::string, model::Alias>;  // by name
  std::shared_ptr<const model::FunctionSpec> pick(const model::Alias& alias);
  Result<Aliases> aliases_with(const catalog::Function* before, const catalog::Function& after,
                               const AliasShares& shares) const;
  // Of these, the newest first, those that are not to stay. Notes who goes later.
  std::vector<model::Target> outlived(const catalog::Function& function, const Aliases& aliases,
                                      const std::vector<model::Target>& kept, Past past);
  Aliases aliases_of(const model::FunctionId& function) const;
  bool was_dropped(const model::FunctionId& function) const;
  async::Task<void> drop_outlived();

  KeptVersionsParts parts_;
  std::set<model::FunctionId> to_look_at_;  // something of theirs was one too many, and in use
  std::multiset<model::Target> held_;
  std::mt19937_64 random_{std::random_device{}()};
  async::TaskGroup tasks_;
};

}  // namespace thaw::gateway
