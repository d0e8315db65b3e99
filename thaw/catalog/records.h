// SPDX-License-Identifier: Apache-2.0
//
// The stored forms of the nouns. A field that an older file lacks takes its default, so that a
// newer Thaw reads what an older one wrote.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/catalog/object_table.h"
#include "thaw/model/app.h"
#include "thaw/model/function.h"
#include "thaw/model/volume.h"

namespace thaw::catalog {

// A function's name, its published version and the drafts that wait for the next publication.
// Calls and containers hold a version by shared pointer, so a replaced one lives as long as needed.
struct Function {
  model::FunctionId id;
  model::AppId app;
  model::WorkspaceId workspace;
  std::string tag;
  model::FunctionId base;    // of a bound variant
  std::string live_version;  // empty until published
  std::map<std::string, std::shared_ptr<const model::FunctionSpec>> versions;

  std::shared_ptr<const model::FunctionSpec> live() const {
    const auto found = versions.find(live_version);
    return found == versions.end() ? nullptr : found->second;
  }
};

// "environment/name" of an app or a secret with a name.
std::string named_key(const model::EnvironmentId& environment, const std::string& name);
// Of an environment.
std::string named_key(const model::WorkspaceId& workspace, const std::string& name);
// Of a secret that belongs to an app and has no name.
std::string owned_key(const model::AppId& app);

template <>
inline std::string index_key(const Function& function) {
  return function.app.str();
}
template <>
inline std::string index_key(const model::Class& one) {
  return one.app.str();
}
template <>
inline std::string index_key(const model::Environment& environment) {
  return named_key(environment.workspace, environment.name);
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
inline std::string index_key(const model::Volume& volume) {
  return volume.life == model::Volume::Life::named ? named_key(volume.environment, volume.name)
                                                   : "";
}

}  // namespace thaw::catalog
