// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/deployments.h"

#include <algorithm>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"

namespace thaw::gateway {

using async::Task;
using model::AppState;

namespace {

constexpr std::size_t history_limit = 100;

// The function at the version that this publication names, the newest draft otherwise.
Result<catalog::Function> at_version(const catalog::Scope& scope, const model::App& app,
                                     const Publication::Member& member) {
  const auto function = scope.function(member.function.str());
  if (!function || function->app != app.id) {
    return Error::not_found("function '" + member.function.str() + "' does not exist in app '" +
                            app.id.str() + "'");
  }
  catalog::Function record = *function;
  std::string wanted = member.version;
  if (wanted.empty()) {
    for (const auto& [version, spec] : record.versions) {
      wanted = version == record.live_version ? wanted : version;
    }
    wanted = wanted.empty() ? record.live_version : wanted;
  }
  if (!record.versions.contains(wanted)) {
    return Error::failed_precondition("function '" + record.tag + "' has no definition '" + wanted +
                                      "'");
  }
  record.live_version = wanted;
  // Containers that run on another one hold it; nothing starts it any more.
  std::erase_if(record.versions, [&](const auto& entry) { return entry.first != wanted; });
  return record;
}

model::App as_published(model::App app, const Publication& publication) {
  app.functions.clear();
  for (const auto& [tag, member] : publication.functions) {
    app.functions[tag] = member.function;
  }
  app.classes = publication.classes;
  for (const auto& [key, value] : publication.tags) {
    app.tags[key] = value;
  }
  app.state = publication.state.value_or(app.state);
  if (app.state == AppState::deployed) {
    app.name = publication.name.empty() ? app.name : publication.name;
    app.deployed_at = wall_now();
    app.version += 1;
    app.history.push_back(
        {app.version, app.deployed_at, publication.deployment_tag, publication.client_version});
    if (app.history.size() > history_limit) {
      app.history.erase(app.history.begin());
    }
  }
  return app;
}

model::App stopped(model::App app) {
  app.state = AppState::stopped;
  app.stopped_at = wall_now();
  return app;
}

bool is_long_ago(WallTime time, Duration limit) {
  return time + std::chrono::duration_cast<std::chrono::microseconds>(limit) < wall_now();
}

}  // namespace

Deployments::Deployments(DeploymentParts parts, DeploymentOptions options)
    : parts_(parts), options_(options), tasks_(parts_.loop) {}

void Deployments::start() {
  parts_.labels.rebuild();
  tasks_.start("deployments", async::every(2s, "deployments", [this] { return forget_old(); }));
}

// All of a publication, or an error before anything has changed.
Result<std::vector<Deployments::Function>> Deployments::functions_of(
    const catalog::Scope& scope, const model::App& app, const Publication& publication) const {
  for (const auto& [tag, id] : publication.classes) {
    const auto known = scope.app_class(id.str());
    if (!known || known->app != app.id) {
      return Error::not_found("class '" + id.str() + "' does not exist in app '" + app.id.str() +
                              "'");
    }
  }
  std::vector<Function> functions;
  std::map<std::string, std::string> tags_of_labels;
  std::set<model::FunctionId> seen;
  for (const auto& [tag, member] : publication.functions) {
    if (!seen.insert(member.function).second) {
      continue;
    }
    Function function;
    if (member.spec) {
      THAW_TRY(function, made_by(scope, app, tag, member, publication.turn));
    } else {
      THAW_TRY(function.after, at_version(scope, app, member));
    }
    const auto live = function.after.live();
    THAW_TRY_VOID(parts_.labels.check(app, *live));
    for (const model::WebEndpoint& web : live->web) {
      const auto [other, fresh] = tags_of_labels.emplace(web.label, tag);
      if (!fresh) {
        return Error::already_exists("functions '" + other->second + "' and '" + tag +
                                     "' want the same web address '" + web.label +
                                     "'; give one of them a label= of its own");
      }
    }
    functions.push_back(std::move(function));
  }
  return functions;
}

// The function with a version that nobody has seen yet.
Result<Deployments::Function> Deployments::made_by(const catalog::Scope& scope,
                                                   const model::App& app, const std::string& tag,
                                                   const Publication::Member& member,
                                                   std::uint64_t turn) const {
  Function made{scope.function(member.function.str()), {}, &member};
  if (made.before && made.before->app != app.id) {
    return Error::not_found("function '" + member.function.str() + "' does not exist in app '" +
                            app.id.str() + "'");
  }
  const auto later = turns_of_.find(member.function);
  if (turn != 0 && later != turns_of_.end() && later->second > turn) {
    return Error::aborted("a version of " + tag +
                          " that was begun later is live already, so this one is not published; "
                          "push again if it is to be the one");
  }
  catalog::Function& after = made.after;
  after.id = member.function;
  after.app = app.id;
  after.workspace = app.workspace;
  after.tag = tag;
  after.live_version = member.spec->version;
  after.number = made.before ? made.before->number + 1 : 1;
  after.published_at = wall_now();
  after.keep = member.keep;
  after.versions[member.spec->version] = member.spec;
  return made;
}

// Those that this publication no longer names, their bound variants included.
std::vector<model::FunctionId> Deployments::dropped_by(const model::App& app,
                                                       const Publication& publication) const {
  std::set<model::FunctionId> kept;
  for (const auto& [tag, member] : publication.functions) {
    kept.insert(member.function);
  }
  std::set<model::FunctionId> dropped;
  for (const auto& [tag, id] : app.functions) {
    if (!kept.contains(id)) {
      dropped.insert(id);
    }
  }
  const catalog::Scope scope(parts_.catalog, app.workspace);
  for (const auto& function : scope.functions_of(app.id)) {
    if (dropped.contains(function->base)) {
      dropped.insert(function->id);
    }
  }
  return {dropped.begin(), dropped.end()};
}

Task<model::App> Deployments::publish(catalog::Scope scope, std::string id,
                                      Publication publication) {
  auto current = scope.app(id);
  if (!current && publication.made && publication.made->id.str() == id &&
      scope.covers(publication.made->workspace, publication.made->environment)) {
    current = std::make_shared<const model::App>(*publication.made);
  }
  if (!current) {
    co_return Error::not_found("app '" + id + "' does not exist");
  }
  if (current->state == AppState::stopped) {
    co_return Error::failed_precondition("app '" + id + "' was stopped");
  }
  THAW_CO_TRY(const std::vector<Function> functions, functions_of(scope, *current, publication));
  const std::vector<model::FunctionId> dropped = dropped_by(*current, publication);
  const model::App app = as_published(*current, publication);
  // One deployment per name: an earlier app of that name gives way.
  std::optional<model::App> earlier;
  if (app.state == AppState::deployed) {
    const auto known = scope.deployed_app(app.environment, app.name);
    if (known && known->id != app.id) {
      earlier = stopped(*known);
    }
  }
  catalog::Change change;
  std::vector<model::Target> outlived;
  for (const Function& function : functions) {
    change.put(parts_.catalog.functions, function.after);
    if (function.member != nullptr) {
      THAW_CO_TRY(const std::vector<model::Target> some,
                  parts_.versions.publish(change, function.before.get(), function.after,
                                          function.member->shares));
      outlived.insert(outlived.end(), some.begin(), some.end());
    }
  }
  std::vector<model::FunctionId> taken;
  std::map<model::FunctionId, std::uint64_t> turns_before;
  for (const Function& function : functions) {
    // Before the write, so that nobody else takes them meanwhile.
    parts_.labels.take(function.after);
    taken.push_back(function.after.id);
    if (function.member != nullptr && publication.turn != 0) {
      std::uint64_t& turn = turns_of_[function.after.id];
      turns_before[function.after.id] = std::exchange(turn, std::max(turn, publication.turn));
    }
  }
  for (const model::FunctionId& gone : dropped) {
    parts_.catalog.erase_function(change, gone);
  }
  for (const auto& [tag, known] : current->classes) {
    const bool kept =
        std::any_of(app.classes.begin(), app.classes.end(),
                    [&one = known](const auto& entry) { return entry.second == one; });
    if (!kept) {
      change.erase(parts_.catalog.classes, known.str());
    }
  }
  if (earlier) {
    change.put(parts_.catalog.apps, *earlier);
  }
  change.put(parts_.catalog.apps, app);
  if (Result<void> stored = co_await parts_.catalog.apply(std::move(change)); !stored) {
    parts_.labels.drop(taken);
    parts_.labels.rebuild();
    for (const auto& [function, turn] : turns_before) {
      if (turns_of_[function] == publication.turn) {
        turns_of_[function] = turn;
      }
    }
    co_return std::move(stored).error();
  }
  parts_.versions.let_go(outlived);
  forget_turns(dropped);
  parts_.labels.drop(dropped);
  // Only now: a container that starts at once learns of all of its app's functions and classes.
  for (const auto& [tag, member] : publication.functions) {
    parts_.fleet.refresh(member.function);
  }
  changed(taken);
  changed(dropped);
  // It is published; what cannot be ended now is ended later.
  const auto note = [&app](const Result<void>& ended) {
    if (!ended) {
      log_warning("what a publication replaces has not ended",
                  {{"app", app.id.str()}, {"error", ended.error().to_string()}});
    }
  };
  if (earlier) {
    note(co_await end_stopped(*earlier, "replaced by another app of its name"));
  }
  if (!dropped.empty()) {
    note(co_await parts_.fleet.stop_functions(dropped,
                                              "the function was removed by a new deployment"));
  }
  co_return app;
}

Task<void> Deployments::stop_app(model::AppId id, std::string why) {
  const auto found = parts_.catalog.apps.find(id.str());  // all workspaces: found by its caller
  if (!found || found->state == AppState::stopped) {
    co_return ok();
  }
  const model::App app = stopped(*found);
  THAW_CO_TRY_VOID(co_await parts_.catalog.apps.put(app));
  co_return co_await end_stopped(app, std::move(why));
}

// What follows once it is on disk that the app is stopped.
Task<void> Deployments::end_stopped(model::App app, std::string why) {
  log_info("app stopped", {{"app", app.id.str()}, {"name", app.name}, {"reason", why}});
  std::vector<model::FunctionId> functions;
  const catalog::Scope scope(parts_.catalog, app.workspace);
  for (const auto& function : scope.functions_of(app.id)) {
    functions.push_back(function->id);
  }
  if (parts_.labels.drop(functions) > 0) {
    parts_.labels.rebuild();  // a label that was taken over goes back to who had it before
  }
  forget_turns(functions);
  changed(functions);
  // Who waits for a result reads how it ended; then it goes.
  for (const model::FunctionId& function : functions) {
    stopped_.emplace_back(monotonic_now() + options_.keep_stopped_results, function);
  }
  const Result<void> ended =
      co_await parts_.fleet.stop_functions(std::move(functions), "the app was stopped: " + why);
  parts_.logs.end(app.id.str());
  co_return ended;
}

void Deployments::forget_turns(const std::vector<model::FunctionId>& functions) {
  for (const model::FunctionId& function : functions) {
    turns_of_.erase(function);
  }
}

// What cannot be done for one app does not keep the others: the first error is told.
Task<void> Deployments::forget_old() {
  const Instant now = monotonic_now();
  while (!stopped_.empty() && stopped_.front().first <= now) {
    parts_.queue.forget_all(stopped_.front().second);
    stopped_.pop_front();
  }
  std::vector<model::AppId> old;
  // all workspaces: what has ended anywhere
  for (const auto& [id, app] : parts_.catalog.apps.all()) {
    if (app->state == AppState::stopped && is_long_ago(app->stopped_at, options_.keep_stopped)) {
      old.push_back(app->id);
    }
  }
  Result<void> outcome;
  for (const model::AppId& id : old) {
    Result<void> erased = co_await parts_.catalog.erase_app(id);
    if (!erased && outcome) {
      outcome = std::move(erased);
    }
  }
  co_return outcome;
}

}  // namespace thaw::gateway
