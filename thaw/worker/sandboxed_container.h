// SPDX-License-Identifier: Apache-2.0
//
// SandboxedContainer: what of a running container is its sandbox's, asked of that.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "thaw/worker/worker.h"

namespace thaw::worker {

class SandboxedContainer : public RunningContainer {
 public:
  Instant started() const final { return box().times().started; }
  const std::string& address() const final { return box().address(); }
  int pid() const final { return box().pid(); }
  bool has_ended() const final { return box().has_ended(); }
  Result<void> signal(int number) override { return box().signal(number); }
  std::uint64_t memory_bytes() const final { return box().memory_bytes(); }
  Duration processor_time() const final { return box().processor_time(); }
  void note_survival() final { box().note_survival(); }
  Result<void> weigh(double weight) final { return box().weigh(weight); }
  async::Task<void> freeze() final { return box().freeze(); }
  Result<void> thaw() final { return box().thaw(); }
  async::Task<std::uint64_t> reclaim() final { return box().reclaim(); }
  async::Task<std::unique_ptr<sandbox::Process>> run(sandbox::ProcessSpec spec) final {
    return box().run(std::move(spec));
  }
  async::Task<void> keep(std::string note, Instant until) override {
    return box().keep(std::move(note), until);
  }
  async::Task<std::vector<sandbox::KeptProcess>> kept_processes() final {
    return box().kept_processes();
  }
  void leave() final { box().leave(); }
  std::string root_writes() const final { return box().root_writes(); }

 protected:
  virtual sandbox::Sandbox& box() const = 0;
};

}  // namespace thaw::worker
