// SPDX-License-Identifier: Apache-2.0
//
// FakeWorker: starts containers that are nothing but a fake sandbox, at once, or when a test lets
// them. What it is told passes through bytes, as on its way to another machine. For tests of
// control, which play the part of the programs.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/worker/launch_plan_codec.h"
#include "thaw/worker/testing/fake_container.h"
#include "thaw/worker/worker.h"

namespace thaw::worker::testing {

class FakeWorker final : public Worker {
 public:
  async::Task<std::unique_ptr<RunningContainer>> launch(LaunchPlan given) override {
    THAW_CO_TRY(const LaunchPlan plan, read_plan(write_plan(given)));
    launched.push_back(plan.id);
    while (holds_launches) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed.wait(Instant::max()));
    }
    if (launch_error) {
      co_return *launch_error;
    }
    auto container = std::make_unique<FakeContainer>(plan.id);
    container->fake.can_be_killed = true;
    container->staging = plan.staging;
    container->now = {1, 1, Traffic::Wire::quiet};
    if (plan.push) {
      container->port.emplace();
      container->port->has_ended = [&fake = container->fake] { return fake.has_ended(); };
      container->now = {0, 0, Traffic::Wire::quiet};
    }
    if (!plan.restore.empty() && plan.levels.front() == model::Level::restored) {
      if (restore_error) {
        if (plan.levels.back() != model::Level::booted) {
          co_return *restore_error;
        }
        container->given_way.push_back(
            {model::Level::restored, "restore_failed", restore_error->to_string(), restore_tried});
      } else {
        container->started_by = model::Level::restored;
      }
    }
    if (at_launch) {
      at_launch(*container, plan);
    }
    plans.push_back(plan);
    running.push_back(container.get());
    co_return std::unique_ptr<RunningContainer>(std::move(container));
  }
  async::Task<std::vector<KeptContainer>> take_kept() override { co_return std::move(kept); }
  async::Task<std::string> identify(std::vector<std::string> sources) override {
    std::string text;
    for (const std::string& source : sources) {
      text += source + "\n";
    }
    co_return text;
  }
  void expect(const LaunchPlan&) override {}
  bool hasten(const ForkPlan&) override { return false; }
  Duration processor_time() const override { return {}; }
  unsigned processor_count() const override { return 4; }
  Result<MachineProcessors> processors() const override {
    return Error::unavailable("a fake machine has no counters");
  }
  MachineMemory memory() const override { return has_memory; }

  std::vector<model::ContainerId> launched;  // that were ordered, in order
  std::vector<LaunchPlan> plans;             // of those that were started
  std::vector<FakeContainer*> running;       // that were started; gone with their Fleet's record
  std::vector<KeptContainer> kept;           // by a server before this one
  bool holds_launches = false;               // until it is false and `changed` is notified
  MachineMemory has_memory;                  // nothing is known, unless a test says it
  std::optional<Error> launch_error;
  std::optional<Error> restore_error;
  Fallback::Tried restore_tried = Fallback::Tried::failed;           // then
  std::function<void(FakeContainer&, const LaunchPlan&)> at_launch;  // before anybody sees it
  async::Event changed;
};

}  // namespace thaw::worker::testing
