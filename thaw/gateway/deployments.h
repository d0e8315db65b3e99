// SPDX-License-Identifier: Apache-2.0
//
// Deployments: how apps come and go. A publication makes versions live and is one write: a death in
// the middle leaves the app as it was or as it is to be. Of two that make versions of one function,
// the one that began later stays, whichever was ready first. A stopped app's containers end, its
// results are kept for a moment for who waits, and its record for a while for who reads its logs.
// What an app consisted of stays for some deployments, and one can go back to it: that is one more
// publication, of versions that were there before. Loop thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/task_group.h"
#include "thaw/catalog/catalog.h"
#include "thaw/catalog/scope.h"
#include "thaw/control/fleet.h"
#include "thaw/gateway/kept_versions.h"
#include "thaw/gateway/web_labels.h"
#include "thaw/logs/log_hub.h"
#include "thaw/queue/call_queue.h"

namespace thaw::gateway {

// What an app is to consist of; what it had besides goes.
struct Publication {
  struct Member {
    model::FunctionId function;
    std::string version;  // empty: the newest that was created
    // Of a version, and a function, that are made with the publication and not before.
    std::shared_ptr<const model::FunctionSpec> spec = nullptr;
    std::size_t keep = 0;  // with a spec: versions at most, the live one among them
    AliasShares shares = {};
  };
  std::map<std::string, Member> functions;  // by tag
  std::map<std::string, model::ClassId> classes;
  std::map<std::string, std::string> tags;  // added to the app's
  std::optional<model::AppState> state;     // none: as it is
  std::string name;                         // of a deployed app; empty: as it is
  std::string deployment_tag;
  std::string client_version;
  std::string by;  // who asks for it, as people call them
  model::Revision revision;
  // As whose versions it goes into the app's history.
  model::Deployment::Kind kind = model::Deployment::Kind::standard;
  int of = 0;
  // Of two that follow each other with one key, the second is the first once more. May be empty.
  std::string key;
  // kept: one can go back to what is deployed with it.
  enum class Past { forgotten, kept } past = Past::forgotten;
  std::optional<model::App> made;  // an app that is not there yet, and is made with it
  std::uint64_t turn = 0;          // of Deployments::begin(); 0: nobody is later
};

struct DeploymentParts {
  async::Loop& loop;
  catalog::Catalog& catalog;
  queue::CallQueue& queue;
  logs::LogHub& logs;
  control::Fleet& fleet;
  WebLabels& labels;
  KeptVersions& versions;
};

struct DeploymentOptions {
  Duration keep_stopped = std::chrono::minutes(10);          // the records of apps that ended
  Duration keep_stopped_results = std::chrono::seconds(30);  // synchronous calls of them
  // Deployments of an app that one can go back to, the live one among them; 1: none.
  std::size_t keep_deployments = 20;
};

class Deployments {
 public:
  Deployments(DeploymentParts parts, DeploymentOptions options);
  // Begins to forget what ended long ago.
  void start();
  async::Task<void> stop() { return tasks_.stop(); }

  // When it begins what a publication will publish, a build say; it is the publication's `turn`.
  std::uint64_t begin() { return ++turns_; }
  // What `scope` does not cover is not found. aborted: one that began later has published a
  // function of it; nothing has changed. already_exists: a label of it is another app's;
  // failed_precondition: the app was stopped, or a function has no such version. An earlier app
  // that was deployed by the same name gives way. Resumes when what it replaces has ended.
  async::Task<model::App> publish(catalog::Scope scope, std::string app, Publication publication);
  // Keeps a deployment that is not live, for promote(); nothing of what is live changes.
  // failed_precondition: nothing is live yet. Else as publish().
  async::Task<model::App> stage(catalog::Scope scope, std::string app, Publication publication);
  // Makes live what the app consisted of at a deployment, as a deployment of its own. A version
  // < 0: so many before the live one, without those that were staged. not_found: there is no such
  // deployment, or it is not kept any more; failed_precondition: the app is not deployed, something
  // of that deployment is missing by now, or there is none so long ago; a rollback to what was
  // staged, a promotion of what was not.
  struct Again {
    int version = -1;
    model::Deployment::Kind kind = model::Deployment::Kind::rollback;
    std::string by;   // who asks for it, as people call them
    std::string key;  // as Publication's
  };
  async::Task<model::App> go_back(catalog::Scope scope, std::string app, Again again);
  // Gives each function a new version that is equal to its live one, so that new containers take
  // the place of all that run.
  async::Task<model::App> roll_over(catalog::Scope scope, std::string app, std::string by,
                                    std::string key);
  // Ends its functions and containers and its log; ok if it was stopped already. Resumes when they
  // are gone. `by`: who asked for it, as people call them; empty: nobody.
  async::Task<void> stop_app(model::AppId app, std::string why, std::string by = {});

  // Called with those whose versions have changed or that have ended, whenever some have.
  std::function<void(const std::vector<model::FunctionId>& functions)> changed =
      [](const std::vector<model::FunctionId>&) {};

 private:
  async::Task<void> end_stopped(model::App app, std::string why);
  async::Task<void> forget_old();
  void forget_turns(const std::vector<model::FunctionId>& functions);
  struct Function {
    std::shared_ptr<const catalog::Function> before;  // null: it is new
    catalog::Function after;
    const Publication::Member* member = nullptr;
  };
  Result<std::vector<Function>> functions_of(const catalog::Scope& scope, const model::App& app,
                                             const Publication& publication) const;
  Result<Function> made_by(const catalog::Scope& scope, const model::App& app,
                           const std::string& tag, const Publication::Member& member,
                           std::uint64_t turn) const;
  std::vector<model::FunctionId> dropped_by(const model::App& app,
                                            const Publication& publication) const;
  std::vector<model::FunctionId> still_gone(std::vector<model::FunctionId> dropped) const;
  // The function at the version that a publication names.
  Result<Function> at_version(const catalog::Scope& scope, const model::App& app,
                              const std::string& tag, const Publication::Member& member) const;
  // What goes into the catalog for one to go back to `app` as it is published by now; notes in
  // `loose` whose versions may have outlived their time with it.
  void keep_past(catalog::Change& change, const model::App& app, const Publication& publication,
                 const std::vector<Function>& functions,
                 std::vector<model::FunctionId>& loose) const;
  bool is_tight(const model::WorkspaceId& workspace) const;
  void keep_dropped(catalog::Change& change, const model::FunctionId& function) const;
  Result<std::shared_ptr<const catalog::AppVersion>> past_of(const catalog::Scope& scope,
                                                             const model::App& app, int version,
                                                             model::Deployment::Kind kind) const;
  Result<std::shared_ptr<const model::App>> deployed(const catalog::Scope& scope,
                                                     const std::string& app) const;

  DeploymentParts parts_;
  DeploymentOptions options_;
  std::uint64_t turns_ = 0;
  std::map<model::FunctionId, std::uint64_t> turns_of_;        // of what made their live versions
  std::deque<std::pair<Instant, model::FunctionId>> stopped_;  // whose results are to be forgotten
  async::TaskGroup tasks_;
};

}  // namespace thaw::gateway
