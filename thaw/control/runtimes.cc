// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/runtimes.h"

#include <utility>

#include "thaw/base/check.h"

namespace thaw::control {

void Runtimes::add(std::string name, Runtime& runtime) {
  THAW_CHECK(!name.empty());
  if (first_ == nullptr) {
    first_ = &runtime;
  }
  const bool is_new = by_name_.emplace(std::move(name), &runtime).second;
  THAW_CHECK(is_new);
}

Result<Runtime*> Runtimes::of(const model::FunctionSpec& spec) const {
  if (spec.dialect.empty() && first_ != nullptr) {
    return first_;
  }
  const auto found = by_name_.find(spec.dialect);
  if (found != by_name_.end()) {
    return found->second;
  }
  std::string served;
  for (const auto& [name, runtime] : by_name_) {
    served += (served.empty() ? "" : ", ") + name;
  }
  return Error::failed_precondition("function " + spec.name + " was published through \"" +
                                    spec.dialect + "\", which this server does not serve (it has " +
                                    served + "); publish it again through one of them");
}

async::Task<void> Runtimes::complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                          worker::LaunchPlan& plan) {
  THAW_CO_TRY(Runtime * runtime, of(*spec));
  co_return co_await runtime->complete_plan(std::move(spec), plan);
}

}  // namespace thaw::control
