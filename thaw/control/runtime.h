// SPDX-License-Identifier: Apache-2.0
//
// Runtime: what a dialect knows about its containers and control does not. Implemented in the
// dialect, handed to the Fleet by main. Loop thread only.
#pragma once

#include <memory>

#include "thaw/async/task.h"
#include "thaw/model/function.h"
#include "thaw/worker/worker.h"

namespace thaw::control {

class Runtime {
 public:
  virtual ~Runtime() = default;
  // Completes a plan that has image, mounts, secrets and limits already: program, environment,
  // files, further layers (such as the client's package).
  virtual async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                          worker::LaunchPlan& plan) = 0;
};

}  // namespace thaw::control
