// SPDX-License-Identifier: Apache-2.0
//
// FakeSandbox: a sandbox without processes, for tests of those who freeze, thaw and signal it. It
// ends when it is told to by end(), or by SIGKILL if it can be killed; what was done to it can be
// read from its members.
#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/sandbox/sandbox.h"
#include "thaw/sandbox/testing/fake_process.h"

namespace thaw::sandbox::testing {

class FakeSandbox : public Sandbox {
 public:
  explicit FakeSandbox(model::ContainerId id) : id_(std::move(id)) {}

  const model::ContainerId& id() const override { return id_; }
  int pid() const override { return 1; }
  bool has_ended() const override { return ended.has_value(); }
  const std::string& address() const override { return address_; }
  const StartTimes& times() const override { return times_; }
  async::Task<std::optional<std::string>> read_stdout() override { co_return std::nullopt; }
  async::Task<std::optional<std::string>> read_stderr() override { co_return std::nullopt; }
  async::Task<ExitStatus> wait() override {
    while (!ended) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed.wait(Instant::max()));
    }
    co_return *ended;
  }
  Result<void> signal(int number) override {
    signals.push_back(number);
    if (number == SIGKILL && can_be_killed) {
      ExitStatus status;
      status.code = 128 + SIGKILL;
      status.signal = SIGKILL;
      end(status);
    }
    return ok();
  }
  async::Task<std::unique_ptr<Process>> run(ProcessSpec spec) override {
    if (ended) {
      co_return Error::unavailable("the container has ended");
    }
    if (run_error) {
      co_return *run_error;
    }
    auto state = std::make_shared<FakeProcess::State>();
    state->spec = std::move(spec);
    processes.push_back(state);
    changed.notify_all();
    co_return std::unique_ptr<Process>(std::make_unique<FakeProcess>(std::move(state)));
  }
  void end(ExitStatus status) {
    ended = status;
    for (const auto& process : processes) {
      process->die_with_sandbox();
    }
    changed.notify_all();
  }
  async::Task<void> freeze() override {
    ++freezes;
    const int mine = freezes + thaws;
    changed.notify_all();
    while (holds_freezes && mine == freezes + thaws) {
      THAW_CO_TRY([[maybe_unused]] const bool n, co_await changed.wait(Instant::max()));
    }
    if (while_freezing) {
      while_freezing();
    }
    if (mine != freezes + thaws) {
      co_return Error::cancelled("thawed while it was being frozen");
    }
    if (freeze_error) {
      co_return *freeze_error;
    }
    is_frozen = true;
    co_return ok();
  }
  Result<void> thaw() override {
    ++thaws;
    is_frozen = false;
    changed.notify_all();
    return ok();
  }
  async::Task<std::uint64_t> reclaim() override {
    ++reclaims;
    changed.notify_all();
    co_return 1'000;
  }
  async::Task<Checkpoint> checkpoint(std::string images, std::uint64_t) override {
    if (checkpoint_error) {
      co_return *checkpoint_error;
    }
    checkpoints.push_back(std::move(images));
    co_return Checkpoint{};
  }
  std::uint64_t memory_bytes() const override { return memory; }
  async::Task<void> keep(std::string given, Instant until) override {
    if (keep_error) {
      co_return *keep_error;
    }
    note = std::move(given);
    kept_until = until;
    co_return ok();
  }
  async::Task<std::vector<KeptProcess>> kept_processes() override {
    std::vector<KeptProcess> all;
    for (const auto& process : processes) {
      if (!process->spec.note.empty()) {
        all.push_back({process->spec.note, process->mark, process->input_is_closed,
                       std::make_unique<FakeProcess>(process)});
      }
    }
    co_return all;
  }
  void leave() override {
    if (at_leave) {
      at_leave();
    }
  }
  async::Task<void> remove() override {
    if (!ended) {
      ExitStatus status;
      status.code = 128 + SIGKILL;
      status.signal = SIGKILL;
      end(status);
    }
    co_return ok();
  }

  std::optional<ExitStatus> ended;
  bool can_be_killed = false;
  std::uint64_t memory = 0;
  bool is_frozen = false;
  bool holds_freezes = false;            // until it is thawed, or `changed` is notified after false
  std::function<void()> while_freezing;  // just before the kernel would say that all stand still
  std::optional<Error> freeze_error;
  std::vector<std::string> checkpoints;  // the folders
  std::optional<Error> checkpoint_error;
  std::optional<Error> run_error;
  std::string note;  // it is kept, with it …
  Instant kept_until{};
  std::optional<Error> keep_error;
  std::function<void()> at_leave;
  std::vector<std::shared_ptr<FakeProcess::State>> processes;  // that were started
  int freezes = 0;
  int thaws = 0;
  int reclaims = 0;
  std::vector<int> signals;
  async::Event changed;

 private:
  model::ContainerId id_;
  std::string address_ = "10.0.0.2";
  StartTimes times_;
};

}  // namespace thaw::sandbox::testing
