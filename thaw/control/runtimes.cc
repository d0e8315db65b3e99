// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/runtimes.h"

#include <utility>

namespace thaw::control {

async::Task<void> Runtimes::complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                          worker::LaunchPlan& plan) {
  THAW_CO_TRY(Runtime* const* runtime, runtimes_.of(*spec));
  co_return co_await (*runtime)->complete_plan(std::move(spec), plan);
}

}  // namespace thaw::control
