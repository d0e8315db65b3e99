// SPDX-License-Identifier: Apache-2.0
//
// PlainRuntime: a dialect that adds nothing to a plan. For tests of control.
#pragma once

#include <memory>

#include "thaw/control/runtime.h"

namespace thaw::control::testing {

class PlainRuntime final : public Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec>,
                                  worker::LaunchPlan&) override {
    co_return ok();
  }
};

}  // namespace thaw::control::testing
