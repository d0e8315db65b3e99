// SPDX-License-Identifier: Apache-2.0
//
// WebLabels: which function answers at a label, the first part of a web address. Labels are of the
// whole server, so they are the one thing that is looked up across workspaces: a function holds
// those of its live version, and of several apps that want one, the app deployed last has it. Loop
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/catalog/catalog.h"

namespace thaw::gateway {

class WebLabels {
 public:
  // Outlived by `catalog`.
  explicit WebLabels(const catalog::Catalog& catalog) : catalog_(catalog) {}

  // Hears of each label that rebuild() finds; set by who gives labels addresses.
  std::function<void(const std::string& label, const model::WorkspaceId& workspace)> found;

  // nullptr: nothing is deployed there.
  std::shared_ptr<const catalog::Function> function_of(const std::string& label) const;

  // already_exists names the app that holds a label of this version; the app's own functions, and
  // an app that this one replaces, give theirs up.
  Result<void> check(const model::App& app, const model::FunctionSpec& spec) const;
  // A function's labels are those of its live version, no more.
  void take(const catalog::Function& function);
  // Returns how many labels are free now: what another function wanted too goes to that one with
  // the next rebuild(), which looks at all functions.
  std::size_t drop(const std::vector<model::FunctionId>& functions);
  // Of all that is live: after a start, and when something was dropped.
  void rebuild();

 private:
  struct Holder {
    std::shared_ptr<const catalog::Function> function;
    std::shared_ptr<const model::App> app;
  };
  Holder holder_of(const model::FunctionId& id) const;

  const catalog::Catalog& catalog_;
  std::unordered_map<std::string, model::FunctionId> labels_;
};

}  // namespace thaw::gateway
