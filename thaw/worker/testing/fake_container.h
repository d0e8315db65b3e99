// SPDX-License-Identifier: Apache-2.0
//
// FakeContainer: a running container with a fake sandbox, for tests of control.
#pragma once

#include <utility>
#include <vector>

#include "thaw/sandbox/testing/fake_sandbox.h"
#include "thaw/worker/worker.h"

namespace thaw::worker::testing {

class FakeContainer : public RunningContainer {
 public:
  explicit FakeContainer(model::ContainerId id) : fake(std::move(id)) {}

  sandbox::Sandbox& sandbox() override { return fake; }
  model::Level level() const override { return model::Level::booted; }
  const std::vector<Fallback>& fallbacks() const override { return fallbacks_; }
  Traffic traffic() const override { return now; }
  void label_output(CurrentWork) override {}
  Instant interpreter_started() override { return {}; }
  bool is_restorable() override { return false; }
  async::Task<sandbox::ExitStatus> wait() override { return fake.wait(); }
  async::Task<void> remove() override { return fake.remove(); }

  sandbox::testing::FakeSandbox fake;
  Traffic now;

 private:
  std::vector<Fallback> fallbacks_;
};

}  // namespace thaw::worker::testing
