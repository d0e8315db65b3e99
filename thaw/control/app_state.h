// SPDX-License-Identifier: Apache-2.0
//
// Whether an app, or a version, is there, as control sees it.
#pragma once

#include <string>

#include "thaw/catalog/catalog.h"

namespace thaw::control {

// An app whose record was lost counts as one that was stopped.
inline bool app_is_stopped(const catalog::Catalog& catalog, const catalog::Function& function) {
  const auto app = catalog.apps.find(function.app.str());
  return !app || app->state == model::AppState::stopped;
}

// What is said to who waits for a version that is not kept (any more).
inline std::string version_is_gone(const model::Target& target) {
  return "the version " + target.version +
         " that this call is pinned to is not kept any more; call another version, or the function "
         "without one";
}

}  // namespace thaw::control
