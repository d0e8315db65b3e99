// SPDX-License-Identifier: Apache-2.0
//
// What is made for functions that nobody has called yet: a template of their image, once what was
// published has been quiet for a moment.
#include <algorithm>
#include <utility>

#include "thaw/control/fleet.h"

namespace thaw::control {

namespace {

constexpr std::size_t max_published = 64;  // of them all; templates are fewer

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

// Once what was published has been quiet for a moment. Who is called meanwhile goes first.
async::Task<void> Fleet::expect_loop(Fleet& fleet) {
  while (true) {
    while (fleet.published_.empty()) {
      THAW_CO_TRY([[maybe_unused]] const bool told,
                  co_await fleet.publishing_.wait(Instant::max()));
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(fleet.options_.expect_after));
    for (const model::FunctionId& id : std::exchange(fleet.published_, {})) {
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
