// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/expectations.h"

#include <algorithm>
#include <utility>

namespace thaw::control {

namespace {

constexpr std::size_t max_published = 64;  // of them all; templates are fewer
constexpr Duration look_again = 500ms;
constexpr Duration no_longer = 30s;  // on a machine that is always busy they are made all the same

}  // namespace

void Expectations::note_published(const model::FunctionId& function) {
  if (std::find(published_.begin(), published_.end(), function) != published_.end()) {
    return;
  }
  if (published_.size() >= max_published) {
    published_.pop_front();
  }
  published_.push_back(function);
  publishing_.notify_all();
}

// Whoever waits for a container has the processors first.
async::Task<void> Expectations::wait_for_demand_to_end(const Pools& pools) {
  const auto waits = [](const auto& entry) { return entry.second->demanded != Instant{}; };
  const Instant give_up = monotonic_now() + no_longer;
  while (monotonic_now() < give_up && std::any_of(pools.all().begin(), pools.all().end(), waits)) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(look_again));
  }
  co_return ok();
}

async::Task<void> Expectations::loop(Expectations& self) {
  while (true) {
    while (self.published_.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool told, co_await self.publishing_.wait(Instant::max()));
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(self.pause_));
    for (const model::FunctionId& id : std::exchange(self.published_, {})) {
      THAW_CO_TRY_VOID(co_await wait_for_demand_to_end(self.parts_.pools));
      const auto record = self.parts_.catalog.functions.find(id.str());
      const std::shared_ptr<const model::FunctionSpec> spec = record ? record->live() : nullptr;
      if (!spec || self.parts_.pools.has(id)) {
        continue;  // it is gone, or its own start has asked for all
      }
      worker::LaunchPlan plan;
      plan.id = model::ContainerId("ta-expected");
      auto planned = self.parts_.plans.outline(*spec, plan);
      if (planned) {
        planned = co_await self.parts_.runtime.complete_plan(spec, plan);
      }
      if (planned) {
        self.parts_.worker.expect(plan);
      } else if (co_await async::is_cancelled()) {
        co_return Error::cancelled("nothing more is made ahead");
      }  // its start will say why
    }
  }
}

}  // namespace thaw::control
