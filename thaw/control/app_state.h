// SPDX-License-Identifier: Apache-2.0
//
// Whether an app is there, as control sees it.
#pragma once

#include "thaw/catalog/catalog.h"

namespace thaw::control {

// An app whose record was lost counts as one that was stopped.
inline bool app_is_stopped(const catalog::Catalog& catalog, const catalog::Function& function) {
  const auto app = catalog.apps.find(function.app.str());
  return !app || app->state == model::AppState::stopped;
}

}  // namespace thaw::control
