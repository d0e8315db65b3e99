// SPDX-License-Identifier: Apache-2.0
//
// What is made for functions that nobody has called yet: a template of their image, once what was
// published has been quiet for a moment.
#include <algorithm>
#include <utility>

#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"

namespace thaw::control {

namespace {

constexpr std::size_t max_published = 64;  // of them all; templates are fewer
constexpr Duration look_again = 500ms;
constexpr Duration no_longer = 30s;  // on a machine that is always busy they are made all the same

}  // namespace

void Fleet::note_published(const model::FunctionId& function) {
  if (!options_.expects ||
      std::find(published_.begin(), published_.end(), function) != published_.end()) {
    return;
  }
  if (published_.size() >= max_published) {
    published_.pop_front();
  }
  published_.push_back(function);
  publishing_.notify_all();
}

// Whoever waits for a container has the processors first.
async::Task<void> Fleet::wait_for_demand_to_end(Fleet& fleet) {
  const auto waits = [](const auto& entry) { return entry.second->demanded != Instant{}; };
  const Instant give_up = monotonic_now() + no_longer;
  while (monotonic_now() < give_up &&
         std::any_of(fleet.pools_.begin(), fleet.pools_.end(), waits)) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(look_again));
  }
  co_return ok();
}

// Once what was published has been quiet for a moment. Who is called meanwhile goes first.
async::Task<void> Fleet::expect_loop(Fleet& fleet) {
  while (true) {
    while (fleet.published_.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool told,
                  co_await fleet.publishing_.wait(Instant::max()));
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(fleet.options_.expect_after));
    for (const model::FunctionId& id : std::exchange(fleet.published_, {})) {
      THAW_CO_TRY_VOID(co_await wait_for_demand_to_end(fleet));
      const auto record = fleet.parts_.catalog.functions.find(id.str());
      const std::shared_ptr<const model::FunctionSpec> spec = record ? record->live() : nullptr;
      if (!spec || fleet.pools_.contains(id)) {
        continue;  // it is gone, or its own start has asked for all
      }
      worker::LaunchPlan plan;
      plan.id = model::ContainerId("ta-expected");
      auto planned = fleet.outline(*spec, plan);
      if (planned) {
        planned = co_await fleet.parts_.runtime.complete_plan(spec, plan);
      }
      if (planned) {
        fleet.parts_.worker.expect(plan);
      } else if (co_await async::is_cancelled()) {
        co_return Error::cancelled("nothing more is made ahead");
      }  // its start will say why
    }
  }
}

}  // namespace thaw::control
