// SPDX-License-Identifier: Apache-2.0
//
// ModalRuntime: how a container of this dialect starts. It runs the client's own entrypoint, with
// the client's package at /pkg, its dependencies at /__modal/deps, the function's definition in a
// file, and its Unix socket as the only way to this server.
#pragma once

#include "thaw/control/runtime.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/worker/kits/python/python.h"

namespace thaw::dialect::modal {

class ModalRuntime final : public control::Runtime {
 public:
  explicit ModalRuntime(Context& cx) : cx_(cx) {}
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override;

 private:
  Context& cx_;
  const worker::Kit kit_ = worker::kits::python();  // the client's
};

}  // namespace thaw::dialect::modal
