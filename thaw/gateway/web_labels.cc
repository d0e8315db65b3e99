// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_labels.h"

#include <algorithm>
#include <set>

namespace thaw::gateway {

namespace {

bool serves(const model::FunctionSpec& spec, const std::string& label) {
  return std::any_of(spec.web.begin(), spec.web.end(),
                     [&](const model::WebEndpoint& web) { return web.label == label; });
}

}  // namespace

WebLabels::Holder WebLabels::holder_of(const model::FunctionId& id) const {
  Holder holder;
  holder.function = catalog_.functions.find(id.str());  // all workspaces: see the header
  if (holder.function) {
    holder.app = catalog_.apps.find(holder.function->app.str());  // all workspaces: as above
  }
  return holder;
}

std::shared_ptr<const catalog::Function> WebLabels::function_of(const std::string& label) const {
  const auto entry = labels_.find(label);
  return entry == labels_.end() ? nullptr : holder_of(entry->second).function;
}

Result<void> WebLabels::check(const model::App& app, const model::FunctionSpec& spec) const {
  for (const model::WebEndpoint& web : spec.web) {
    const auto entry = labels_.find(web.label);
    const Holder holder = entry == labels_.end() ? Holder{} : holder_of(entry->second);
    const auto& other = holder.app;
    const auto live = holder.function ? holder.function->live() : nullptr;
    if (!other || !live || other->id == app.id || other->state == model::AppState::stopped ||
        !serves(*live, web.label)) {
      continue;
    }
    // A client that begins again may find that the end of its predecessor is not noticed yet, and
    // a deployment replaces the earlier one of its name.
    if (app.title() == other->title() && app.environment == other->environment) {
      continue;
    }
    const std::string by =
        other->workspace == app.workspace ? "app '" + other->title() + "'" : "another workspace";
    return Error::already_exists("the web address '" + web.label + "' of function '" + spec.name +
                                 "' is held by " + by +
                                 "; give the function a label= of its own, or stop that app first");
  }
  return ok();
}

void WebLabels::take(const catalog::Function& function) {
  drop({function.id});
  for (const model::WebEndpoint& web : function.live()->web) {
    labels_[web.label] = function.id;
  }
}

std::size_t WebLabels::drop(const std::vector<model::FunctionId>& functions) {
  const std::set<model::FunctionId> dropped(functions.begin(), functions.end());
  return std::erase_if(labels_, [&](const auto& entry) { return dropped.contains(entry.second); });
}

void WebLabels::rebuild() {
  const auto deployed_at = [this](const model::FunctionId& id) {
    const Holder holder = holder_of(id);
    return holder.app ? holder.app->deployed_at : WallTime{};
  };
  // all workspaces: the labels of this server
  for (const auto& [id, function] : catalog_.functions.all()) {
    const auto live = function->live();
    const auto app = holder_of(function->id).app;
    if (!live || !function->base.empty() || !app || app->state == model::AppState::stopped) {
      continue;
    }
    for (const auto& web : live->web) {
      if (found) {
        found(web.label, live->workspace);
      }
      const auto [entry, fresh] = labels_.emplace(web.label, function->id);
      if (!fresh && deployed_at(entry->second) < app->deployed_at) {
        entry->second = function->id;
      }
    }
  }
}

}  // namespace thaw::gateway
