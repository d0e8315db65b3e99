// SPDX-License-Identifier: Apache-2.0
//
// FakeContainer: a running container with a fake sandbox, for tests of control.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "thaw/sandbox/testing/fake_sandbox.h"
#include "thaw/worker/sandboxed_container.h"
#include "thaw/worker/testing/fake_server_port.h"

namespace thaw::worker::testing {

class FakeContainer : public SandboxedContainer {
 public:
  explicit FakeContainer(model::ContainerId id) : fake(std::move(id)) {}

  model::Level level() const override { return started_by; }
  const std::vector<Fallback>& fallbacks() const override { return given_way; }
  Traffic traffic() const override { return now; }
  bool has_door() const override { return with_door; }
  bool has_unread() const override {
    ++unread_asked;
    return with_unread;
  }
  Result<bool> has_listener(std::uint16_t wanted) const override {
    return listeners.contains(wanted);
  }
  ServerPort* server() override { return port ? &*port : nullptr; }
  void label_output(CurrentWork) override {}
  Instant interpreter_started() override { return {}; }
  bool is_restorable() override { return hears_restores; }
  async::Task<sandbox::Checkpoint> checkpoint(std::uint64_t max_file_bytes) override {
    return fake.checkpoint(staging, max_file_bytes);
  }
  async::Task<RootUse> measure_root() override { co_return RootUse{}; }
  async::Task<std::string> find_open_file(std::vector<std::string>) override {
    co_return std::string();
  }
  async::Task<sandbox::ExitStatus> wait() override { return fake.wait(); }
  async::Task<void> remove() override { return fake.remove(); }

  mutable sandbox::testing::FakeSandbox fake;
  Traffic now;
  std::set<std::uint16_t> listeners;  // ports
  bool with_door = false;
  bool with_unread = false;
  bool hears_restores = false;
  mutable int unread_asked = 0;
  std::optional<FakeServerPort> port;  // of a server
  model::Level started_by = model::Level::booted;
  std::vector<Fallback> given_way;
  std::string staging;  // where it is written to

 protected:
  sandbox::Sandbox& box() const override { return fake; }
};

}  // namespace thaw::worker::testing
