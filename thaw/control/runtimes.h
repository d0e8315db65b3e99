// SPDX-License-Identifier: Apache-2.0
//
// Runtimes: the dialects that this server serves, by name, as one Runtime: each function's
// containers are started as its own dialect says. A version of a dialect that is not served here
// does not start, and says so; all others do. Filled by main; loop thread only.
#pragma once

#include <string>

#include "thaw/control/by_dialect.h"
#include "thaw/control/runtime.h"

namespace thaw::control {

class Runtimes final : public Runtime {
 public:
  // Not owned; `name` is what its functions have as FunctionSpec::dialect.
  void add(std::string name, Runtime& runtime) { runtimes_.add(std::move(name), &runtime); }

  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override;

 private:
  ByDialect<Runtime*> runtimes_;
};

}  // namespace thaw::control
