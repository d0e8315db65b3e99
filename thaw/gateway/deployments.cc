// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/deployments.h"

#include <algorithm>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;
using model::AppState;

namespace {

constexpr std::size_t history_limit = 100;

// A deployment of any kind is one more entry.
void add_to_history(model::App& app, const Publication& publication) {
  const int last = app.history.empty() ? 0 : app.history.back().version;
  app.history.push_back({std::max(app.version, last) + 1, wall_now(), publication.deployment_tag,
                         publication.client_version, publication.by, publication.kind,
                         publication.of, publication.revision, publication.key});
  if (app.history.size() > history_limit) {
    app.history.erase(app.history.begin());
  }
}

// A client that lost the answer asks again; of a server that died meanwhile as well.
bool is_done(const model::App& app, const std::string& key) {
  return !key.empty() && !app.history.empty() && app.history.back().key == key;
}

const model::Deployment* entry_of(const model::App& app, int version) {
  const auto found = std::find_if(app.history.begin(), app.history.end(),
                                  [&](const auto& entry) { return entry.version == version; });
  return found == app.history.end() ? nullptr : &*found;
}

bool is_staged(const model::App& app, int version) {
  const model::Deployment* entry = entry_of(app, version);
  return entry != nullptr && entry->kind == model::Deployment::Kind::staged;
}

bool repeats(const Publication& publication) { return publication.of != 0; }

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
    add_to_history(app, publication);
    app.version = app.history.back().version;
    app.deployed_at = app.history.back().at;
  }
  return app;
}

model::App stopped(model::App app, std::string by) {
  app.state = AppState::stopped;
  app.stopped_at = wall_now();
  app.stopped_by = std::move(by);
  return app;
}

// What a version needs that may have been deleted since it was made. Looked up in its workspace:
// who made it was asked then.
Result<void> check_is_whole(const catalog::Scope& scope, const model::FunctionSpec& spec) {
  const auto missing = [&spec](const std::string& what, const std::string& id) {
    return Error::failed_precondition("function '" + spec.name + "' of that version needs " + what +
                                      " '" + id + "', which was deleted since; deploy it anew");
  };
  if (!scope.image(spec.image.str())) {
    return missing("image", spec.image.str());
  }
  for (const model::MountId& id : spec.mounts) {
    if (!scope.mount(id.str())) {
      return missing("mount", id.str());
    }
  }
  for (const model::SecretId& id : spec.secrets) {
    if (!scope.secret(id.str())) {
      return missing("secret", id.str());
    }
  }
  for (const model::BucketMount& mount : spec.buckets) {
    if (!mount.secret.empty() && !scope.secret(mount.secret.str())) {
      return missing("secret", mount.secret.str());
    }
  }
  for (const model::VolumeMount& mount : spec.volumes) {
    const auto volume = scope.volume(mount.volume.str());
    if (!volume || volume->life == model::Volume::Life::doomed) {
      return missing("volume", mount.volume.str());
    }
  }
  return ok();
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
    if (!known && repeats(publication)) {
      continue;  // it went with a deployment since then, and comes back
    }
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
      THAW_TRY(function, at_version(scope, app, tag, member));
    }
    const auto live = function.after.live();
    if (repeats(publication)) {
      THAW_TRY_VOID(check_is_whole(catalog::Scope(parts_.catalog, app.workspace), *live));
    }
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

// A draft, the newest one if none is named, or a version that is live or kept.
Result<Deployments::Function> Deployments::at_version(const catalog::Scope& scope,
                                                      const model::App& app, const std::string& tag,
                                                      const Publication::Member& member) const {
  Function made{scope.function(member.function.str()), {}, &member};
  // all workspaces: of another app it is not used
  auto kept =
      parts_.catalog.versions.find(catalog::version_id({member.function, member.version}).str());
  kept = kept && kept->app == app.id ? kept : nullptr;
  if (made.before ? made.before->app != app.id : !kept) {
    return Error::not_found("function '" + member.function.str() + "' does not exist in app '" +
                            app.id.str() + "'");
  }
  catalog::Function& record = made.after;
  if (made.before) {
    record = *made.before;
  } else {
    record.id = member.function;
    record.app = app.id;
    record.workspace = app.workspace;
    record.tag = tag;
  }
  std::string wanted = member.version;
  if (wanted.empty()) {
    for (const auto& [version, spec] : record.versions) {
      wanted = version == record.live_version ? wanted : version;
    }
    wanted = wanted.empty() ? record.live_version : wanted;
  }
  const std::string before = std::exchange(record.live_version, wanted);
  if (record.versions.contains(wanted)) {
    // Containers that run on another one hold it; nothing starts it any more.
    std::erase_if(record.versions, [&](const auto& entry) { return entry.first != wanted; });
  } else if (kept) {
    // What others are about to publish is none of its business.
    record.versions.erase(before);
    record.versions[wanted] = kept->spec;
  } else {
    return Error::failed_precondition("function '" + record.tag + "' has no definition '" + wanted +
                                      "'");
  }
  if (before != wanted) {
    record.number += 1;
    record.published_at = wall_now();
  }
  return made;
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

// Those that this publication no longer names, their bound variants included, and theirs.
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
  std::multimap<model::FunctionId, model::FunctionId> variants;  // by what they are variants of
  for (const auto& function : scope.functions_of(app.id)) {
    if (!function->base.empty()) {
      variants.emplace(function->base, function->id);
    }
  }
  std::vector<model::FunctionId> all(dropped.begin(), dropped.end());
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto [first, last] = variants.equal_range(model::FunctionId(all[i]));
    for (auto one = first; one != last; ++one) {
      if (dropped.insert(one->second).second) {
        all.push_back(one->second);
      }
    }
  }
  return all;
}

// Of what a publication has dropped, those that no later one has brought back.
std::vector<model::FunctionId> Deployments::still_gone(
    std::vector<model::FunctionId> dropped) const {
  // all workspaces: of this app
  std::erase_if(dropped, [this](const model::FunctionId& id) {
    return parts_.catalog.functions.find(id.str()) != nullptr;
  });
  return dropped;
}

Task<model::App> Deployments::publish(catalog::Scope scope, std::string id,
                                      Publication publication) {
  auto current = scope.app(id);
  if (!current && publication.made && publication.made->id.str() == id &&
      scope.covers(publication.made->workspace, publication.made->environment)) {
    if (!scope.is_open(publication.made->environment)) {
      co_return Error::not_found("the environment of app '" + publication.made->title() +
                                 "' was deleted meanwhile");
    }
    current = std::make_shared<const model::App>(*publication.made);
  }
  if (!current) {
    co_return Error::not_found("app '" + id + "' does not exist");
  }
  if (current->state == AppState::stopped) {
    co_return Error::failed_precondition("app '" + id + "' was stopped");
  }
  if (is_done(*current, publication.key)) {
    co_return *current;
  }
  THAW_CO_TRY(const std::vector<Function> functions, functions_of(scope, *current, publication));
  const std::vector<model::FunctionId> dropped = dropped_by(*current, publication);
  const model::App app = as_published(*current, publication);
  if (app.tags.size() > std::max(model::most_app_tags, current->tags.size())) {
    co_return Error::resource_exhausted(
        "app '" + app.title() + "' would have " + std::to_string(app.tags.size()) +
        " tags with those of this deployment, and it may have " +
        std::to_string(model::most_app_tags) + "; set its tags anew, without those of before");
  }
  // One deployment per name: an earlier app of that name gives way.
  std::optional<model::App> earlier;
  if (app.state == AppState::deployed) {
    const auto known = scope.deployed_app(app.environment, app.name);
    if (known && known->id != app.id) {
      earlier = stopped(*known, publication.by);
    }
  }
  const bool is_kept =
      publication.past == Publication::Past::kept && app.state == AppState::deployed;
  const auto past =
      is_kept && is_tight(app.workspace) ? KeptVersions::Past::goes : KeptVersions::Past::keeps;
  catalog::Change change;
  std::vector<model::Target> outlived;
  for (const Function& function : functions) {
    change.put(parts_.catalog.functions, function.after);
    const bool is_another =
        !function.before || function.before->live_version != function.after.live_version;
    if (function.member->spec || (is_kept && is_another)) {
      THAW_CO_TRY(const std::vector<model::Target> some,
                  parts_.versions.publish(change, function.before.get(), function.after,
                                          function.member->shares, past));
      outlived.insert(outlived.end(), some.begin(), some.end());
    }
  }
  std::vector<model::FunctionId> loose;
  if (is_kept) {
    keep_past(change, app, publication, functions, loose);
  }
  std::vector<model::FunctionId> taken;
  std::map<model::FunctionId, std::uint64_t> turns_before;
  for (const Function& function : functions) {
    // Before the write, so that nobody else takes them meanwhile.
    parts_.labels.take(function.after);
    taken.push_back(function.after.id);
    if (function.member->spec && publication.turn != 0) {
      std::uint64_t& turn = turns_of_[function.after.id];
      turns_before[function.after.id] = std::exchange(turn, std::max(turn, publication.turn));
    }
  }
  for (const model::FunctionId& gone : dropped) {
    if (past == KeptVersions::Past::keeps) {
      keep_dropped(change, gone);
    }
    parts_.catalog.erase_function(change, gone);
  }
  for (const auto& [tag, class_id] : publication.classes) {
    if (!scope.app_class(class_id.str())) {
      change.put(parts_.catalog.classes, model::Class{class_id, app.id, tag});
    }
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
  parts_.versions.look_at(loose);
  // While this was stored another one may have been published over it, such as by a rollback.
  const std::vector<model::FunctionId> gone = still_gone(dropped);
  forget_turns(gone);
  parts_.labels.drop(gone);
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
  // Nor are those ended that came back while the other app did.
  std::vector<model::FunctionId> to_end = still_gone(gone);
  if (!to_end.empty()) {
    note(co_await parts_.fleet.stop_functions(std::move(to_end),
                                              "the function was removed by a new deployment"));
  }
  co_return app;
}

// A function that a deployment drops is one that one may go back to.
void Deployments::keep_dropped(catalog::Change& change, const model::FunctionId& id) const {
  const auto function = parts_.catalog.functions.find(id.str());  // all workspaces: of this app
  if (!function || !function->live()) {
    return;
  }
  const catalog::Version kept = catalog::kept_version(*function);
  if (parts_.catalog.app_versions.names(kept.id.str())) {
    change.put(parts_.catalog.versions, kept);
  }
}

void Deployments::keep_past(catalog::Change& change, const model::App& app,
                            const Publication& publication, const std::vector<Function>& functions,
                            std::vector<model::FunctionId>& loose) const {
  catalog::AppVersion made;
  made.number = app.history.back().version;
  made.id = catalog::app_version_id(app.id, made.number);
  made.app = app.id;
  made.workspace = app.workspace;
  made.classes = publication.classes;
  std::map<model::FunctionId, std::string> versions;
  for (const Function& function : functions) {
    versions[function.after.id] = function.after.live_version;
  }
  for (const auto& [tag, member] : publication.functions) {
    made.functions[tag] = {member.function, versions[member.function]};
  }
  const bool keeps_none = is_tight(app.workspace);
  std::size_t room = keeps_none ? 0 : std::max<std::size_t>(options_.keep_deployments, 1) - 1;
  for (const auto& past : parts_.catalog.versions_of(app.id)) {
    if (past->number == app.version) {
      continue;  // of one that is staged: what is live stays
    }
    if (room > 0) {
      --room;
      continue;
    }
    change.erase(parts_.catalog.app_versions, past->id.str());
    for (const auto& [tag, target] : past->functions) {
      loose.push_back(target.function);
    }
  }
  // What is staged is nothing without it.
  if (!keeps_none || publication.kind == model::Deployment::Kind::staged ||
      parts_.catalog.shares.admit(nullptr, catalog::weight_of(made))) {
    change.put(parts_.catalog.app_versions, std::move(made));
  }
}

// What was there before is never in the way of what is there: past half of its share a workspace
// keeps none of it.
bool Deployments::is_tight(const model::WorkspaceId& workspace) const {
  const catalog::CatalogLimits& limits = parts_.catalog.shares.limits;
  const catalog::Shares::Use use = parts_.catalog.shares.of(workspace.str());
  return use.bytes > limits.bytes / 2 || use.objects > limits.objects / 2;
}

Result<std::shared_ptr<const model::App>> Deployments::deployed(const catalog::Scope& scope,
                                                                const std::string& id) const {
  auto app = scope.app(id);
  if (!app) {
    return Error::not_found("app '" + id + "' does not exist");
  }
  if (app->state != AppState::deployed || app->version == 0) {
    return Error::failed_precondition("app '" + app->title() +
                                      "' is not deployed; deploy it first");
  }
  return app;
}

Task<model::App> Deployments::stage(catalog::Scope scope, std::string id, Publication publication) {
  THAW_CO_TRY(const auto current, deployed(scope, id));
  if (is_done(*current, publication.key)) {
    co_return *current;
  }
  THAW_CO_TRY(const std::vector<Function> functions, functions_of(scope, *current, publication));
  model::App app = *current;
  publication.kind = model::Deployment::Kind::staged;
  add_to_history(app, publication);
  catalog::Change change;
  for (const Function& function : functions) {
    const std::string& version = function.after.live_version;
    if (function.before && function.before->live_version != version) {
      change.put(parts_.catalog.versions, catalog::kept_version(function.after));
      // It is none of the drafts any more, which make room for others.
      catalog::Function rest = *function.before;
      rest.versions.erase(version);
      change.put(parts_.catalog.functions, std::move(rest));
    }
  }
  std::vector<model::FunctionId> loose;
  keep_past(change, app, publication, functions, loose);
  change.put(parts_.catalog.apps, app);
  THAW_CO_TRY_VOID(co_await parts_.catalog.apply(std::move(change)));
  parts_.versions.look_at(loose);
  co_return app;
}

Result<std::shared_ptr<const catalog::AppVersion>> Deployments::past_of(
    const catalog::Scope& scope, const model::App& app, int version,
    model::Deployment::Kind kind) const {
  using Kind = model::Deployment::Kind;
  const std::string of_app = " of app '" + app.title() + "'";
  std::int64_t left = version < 0 ? -std::int64_t{version} : 0;
  for (const auto& past : scope.versions_of(app.id)) {
    if (version < 0 && (past->number >= app.version || is_staged(app, past->number))) {
      continue;
    }
    if (version < 0 ? --left > 0 : past->number != version) {
      continue;
    }
    const std::string name = "version " + std::to_string(past->number) + of_app;
    if (kind == Kind::promotion && !is_staged(app, past->number)) {
      return Error::failed_precondition(name +
                                        " was not staged, so there is nothing to promote; "
                                        "roll back to it");
    }
    if (kind == Kind::rollback && is_staged(app, past->number)) {
      return Error::failed_precondition(name + " was staged and never live; promote it");
    }
    return past;
  }
  const std::string kept = "; the last " + std::to_string(options_.keep_deployments) +
                           " deployments are kept ([catalog] keep_deployments), and the history of "
                           "the app lists all";
  if (version < 0) {
    return Error::failed_precondition("there is no earlier version" + of_app + " to go back to" +
                                      kept);
  }
  return Error::not_found("there is no version " + std::to_string(version) + of_app +
                          " to go back to" + kept);
}

Task<model::App> Deployments::go_back(catalog::Scope scope, std::string id, Again again) {
  THAW_CO_TRY(const auto current, deployed(scope, id));
  if (is_done(*current, again.key)) {
    co_return *current;  // once more would be one version further back
  }
  THAW_CO_TRY(const auto past, past_of(scope, *current, again.version, again.kind));
  Publication publication;
  for (const auto& [tag, target] : past->functions) {
    publication.functions[tag] = {target.function, target.version};
  }
  publication.classes = past->classes;
  publication.state = AppState::deployed;
  publication.past = Publication::Past::kept;
  publication.kind = again.kind;
  publication.of = past->number;
  publication.by = std::move(again.by);
  publication.key = std::move(again.key);
  if (const model::Deployment* entry = entry_of(*current, past->number)) {
    publication.client_version = entry->client_version;
    publication.revision = entry->revision;
  }
  co_return co_await publish(std::move(scope), std::move(id), std::move(publication));
}

Task<model::App> Deployments::roll_over(catalog::Scope scope, std::string id, std::string by,
                                        std::string key) {
  THAW_CO_TRY(const auto current, deployed(scope, id));
  if (is_done(*current, key)) {
    co_return *current;
  }
  Publication publication;
  for (const auto& [tag, function_id] : current->functions) {
    const auto function = scope.function(function_id.str());
    const auto live = function ? function->live() : nullptr;
    if (!live) {
      continue;  // its record was lost
    }
    auto fresh = std::make_shared<model::FunctionSpec>(*live);
    fresh->version = codec::random_id("de");
    Publication::Member& member = publication.functions[tag];
    member.function = function_id;
    member.version = fresh->version;
    member.spec = std::move(fresh);
    member.keep = function->keep;
  }
  publication.classes = current->classes;
  publication.state = AppState::deployed;
  publication.past = Publication::Past::kept;
  publication.kind = model::Deployment::Kind::rollover;
  publication.of = current->version;
  publication.by = std::move(by);
  publication.key = std::move(key);
  if (const model::Deployment* entry = entry_of(*current, current->version)) {
    publication.client_version = entry->client_version;
    publication.revision = entry->revision;
  }
  co_return co_await publish(std::move(scope), std::move(id), std::move(publication));
}

Task<void> Deployments::stop_app(model::AppId id, std::string why, std::string by) {
  const auto found = parts_.catalog.apps.find(id.str());  // all workspaces: found by its caller
  if (!found || found->state == AppState::stopped) {
    co_return ok();
  }
  const model::App app = stopped(*found, std::move(by));
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
  Result<void> outcome;
  std::vector<model::AppId> old;
  // all workspaces: what has ended anywhere
  for (const auto& [id, app] : parts_.catalog.apps.all()) {
    if (app->state == AppState::stopped && is_long_ago(app->stopped_at, options_.keep_stopped)) {
      old.push_back(app->id);
    }
  }
  for (const model::AppId& id : old) {
    Result<void> erased = co_await parts_.catalog.erase_app(id);
    if (!erased && outcome) {
      outcome = std::move(erased);
    }
  }
  co_return outcome;
}

}  // namespace thaw::gateway
