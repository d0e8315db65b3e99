// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/orphans.h"

#include <functional>
#include <string>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/control/app_state.h"

namespace thaw::control {

namespace {

// Empty: somebody does, or will.
std::string why_nobody_runs(const catalog::Catalog& catalog, const model::Target& target) {
  const auto function = catalog.functions.find(target.function.str());
  if (!function) {
    return "the function of this call no longer exists: it was removed, or its record was lost";
  }
  if (app_is_stopped(catalog, *function)) {
    return "the app of this call was stopped";
  }
  return target.is_pinned() && !catalog.spec_of(target) ? version_is_gone(target) : "";
}

}  // namespace

async::Task<void> Orphans::end_all(Orphans& self) {
  Result<void> outcome;
  for (const model::Target& target : self.queue_.targets_with_demand()) {
    const std::string message = why_nobody_runs(self.catalog_, target);
    if (message.empty()) {
      continue;
    }
    log_warning("calls are ended", {{"function", target.str()}, {"reason", message}});
    model::Outcome verdict =
        model::failed(model::OutcomeKind::terminated,
                      {.type = model::failure_type::app_stopped, .message = message});
    Result<void> told = co_await self.queue_.fail_waiting(target, std::move(verdict));
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
