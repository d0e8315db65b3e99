// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/orphans.h"

#include <functional>
#include <string>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/control/app_state.h"

namespace thaw::control {

async::Task<void> Orphans::end_all(Orphans& self) {
  Result<void> outcome;
  for (const model::FunctionId& id : self.queue_.functions_with_demand()) {
    const auto function = self.catalog_.functions.find(id.str());
    if (function && !app_is_stopped(self.catalog_, *function)) {
      continue;
    }
    const std::string message =
        function ? "the app of this call was stopped"
                 : "the function of this call no longer exists: it was removed, or its record was "
                   "lost";
    log_warning("calls are ended", {{"function", id.str()}, {"reason", message}});
    model::Outcome verdict =
        model::failed(model::OutcomeKind::terminated,
                      {.type = model::failure_type::app_stopped, .message = message});
    Result<void> told = co_await self.queue_.fail_all(id, std::move(verdict));
    if (!told && outcome) {
      outcome = std::move(told);
    }
  }
  co_return outcome;
}

async::Task<void> Orphans::loop(Orphans& self) {
  (void)co_await end_all(self);
  std::function<async::Task<void>()> round = [&self] { return end_all(self); };
  co_return co_await async::every(10s, "orphaned calls", std::move(round));
}

}  // namespace thaw::control
