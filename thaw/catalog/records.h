// SPDX-License-Identifier: Apache-2.0
//
// The stored forms of the nouns. A field that an older file lacks takes its default, so that a
// newer Thaw reads what an older one wrote.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thaw/catalog/object_table.h"
#include "thaw/model/alias.h"
#include "thaw/model/app.h"
#include "thaw/model/box.h"
#include "thaw/model/function.h"
#include "thaw/model/named_state.h"
#include "thaw/model/target.h"
#include "thaw/model/token.h"
#include "thaw/model/volume.h"

namespace thaw::catalog {

// A function's name, its published version and the drafts that wait for the next publication.
// Calls and containers hold a version by shared pointer, so a replaced one lives as long as needed.
// The versions that were live before and are kept have records of their own, so that a publication
// writes as much whether one is kept or a thousand are.
struct Function {
  model::FunctionId id;
  model::AppId app;
  model::WorkspaceId workspace;
  std::string tag;
  model::FunctionId base;    // of a bound variant
  std::string live_version;  // empty until published
  std::uint64_t number = 0;  // of the live version: how many publications there were
  WallTime published_at{};
  std::size_t keep = 0;  // versions at most, the live one among them; 0 and 1: no other
  std::map<std::string, std::shared_ptr<const model::FunctionSpec>> versions;

  std::shared_ptr<const model::FunctionSpec> live() const {
    const auto found = versions.find(live_version);
    return found == versions.end() ? nullptr : found->second;
  }
};

using VersionId = StrongId<struct VersionTag>;

// A version that was live before and is kept: whoever names it is served by it. It never changes.
struct Version {
  VersionId id;  // Target::str()
  model::FunctionId function;
  model::AppId app;
  model::WorkspaceId workspace;
  std::uint64_t number = 0;  // of the function's publications; a later one has a greater one
  WallTime published_at{};
  std::shared_ptr<const model::FunctionSpec> spec;
};
inline VersionId version_id(const model::Target& target) { return VersionId(target.str()); }
// The live version of a function, as it is kept once another one is live.
Version kept_version(const Function& function);

// What an app consisted of as it was deployed by that number, for as long as one can go back to it:
// so long the versions of its functions stay, live or kept. It never changes.
struct AppVersion {
  model::AppVersionId id;  // of its app and its number
  model::AppId app;
  model::WorkspaceId workspace;
  int number = 0;                                  // of the deployment
  std::map<std::string, model::Target> functions;  // by tag; all are pinned
  std::map<std::string, model::ClassId> classes;   // by tag
};
model::AppVersionId app_version_id(const model::AppId& app, int number);

// A tick of a schedule, and what came of it.
struct ScheduleRun {
  WallTime tick{};
  model::CallId call;  // empty: none was made
  std::string why;     // none was made
};

// How far the schedule of a function has come.
struct ScheduleState {
  model::ScheduleId id;  // the function's
  model::FunctionId function;
  model::WorkspaceId workspace;
  std::string of;         // the schedule that this is the state of; of another one it says nothing
  WallTime told_until{};  // its ticks up to this one have had their call, or never will
  std::vector<ScheduleRun> runs = {};  // the newest first
};
inline model::ScheduleId schedule_id(const model::FunctionId& function) {
  return model::ScheduleId(function.str());
}

// "environment/name" of an app or a secret with a name.
std::string named_key(const model::EnvironmentId& environment, const std::string& name);
// Of an environment.
std::string named_key(const model::WorkspaceId& workspace, const std::string& name);
// Of a secret that belongs to an app and has no name.
std::string owned_key(const model::AppId& app);

// Of a box with a name, which is its app's own.
std::string box_key(const model::AppId& app, const std::string& name);

template <>
inline std::string index_key(const Function& function) {
  return function.app.str();
}
template <>
inline std::string index_key(const Version& version) {
  return version.function.str();
}
template <>
inline std::string owner_key(const Version& version) {
  return version.app.str();
}
template <>
inline std::string index_key(const AppVersion& version) {
  return version.app.str();
}
// Its functions' versions, as Target::str().
template <>
std::vector<std::string> named_by(const AppVersion& version);
// The versions, and the images and secrets of these.
template <>
std::vector<std::string> named_by(const Function& function);
template <>
std::vector<std::string> named_by(const Version& version);
template <>
inline std::string index_key(const model::Alias& alias) {
  return alias.function.str();
}
template <>
inline std::string owner_key(const model::Token& token) {
  return token.workspace.str();
}
template <>
inline std::string index_key(const model::Class& one) {
  return one.app.str();
}
template <>
inline std::string index_key(const model::Environment& environment) {
  return environment.life == model::Environment::Life::there
             ? named_key(environment.workspace, environment.name)
             : "";
}
template <>
inline std::string index_key(const model::App& app) {
  return named_key(app.environment, app.name);
}
template <>
inline std::string index_key(const model::Secret& secret) {
  return secret.name.empty() ? owned_key(secret.owner) : named_key(secret.environment, secret.name);
}
template <>
inline std::string index_key(const model::Mount& mount) {
  return mount.name;
}
template <>
inline std::string index_key(const model::Dict& dict) {
  return named_key(dict.environment, dict.name);
}
template <>
inline std::string index_key(const model::ItemQueue& queue) {
  return named_key(queue.environment, queue.name);
}
template <>
inline std::string index_key(const model::ImageName& name) {
  return named_key(name.environment, name.name);
}
// The image that it stands for now.
template <>
inline std::vector<std::string> named_by(const model::ImageName& name) {
  return name.revisions.empty() ? std::vector<std::string>()
                                : std::vector<std::string>{name.revisions.back().image.str()};
}
template <>
inline std::string index_key(const model::Box& box) {
  return box.name.empty() ? "" : box_key(box.app, box.name);
}
// The image, while it lives.
template <>
inline std::vector<std::string> named_by(const model::Box& box) {
  return box.has_ended() ? std::vector<std::string>() : std::vector<std::string>{box.image.str()};
}
template <>
inline std::string index_key(const model::Volume& volume) {
  return volume.life == model::Volume::Life::named ? named_key(volume.environment, volume.name)
                                                   : "";
}

}  // namespace thaw::catalog
