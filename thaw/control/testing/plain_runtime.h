// SPDX-License-Identifier: Apache-2.0
//
// PlainRuntime: a dialect that adds nothing to a plan. For tests of control.
#pragma once

#include <memory>

#include "thaw/control/runtime.h"

namespace thaw::control::testing {

class PlainRuntime final : public Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override {
    if (spec->snapshot_at == model::SnapshotAt::asked && has_snapshot_points) {
      plan.snapshot_point = worker::SnapshotPoint{worker::restored_signal, "who", plan.id.str()};
    }
    co_return ok();
  }

  bool has_snapshot_points = false;  // of programs that say when
};

}  // namespace thaw::control::testing
