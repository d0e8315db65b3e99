// SPDX-License-Identifier: Apache-2.0
//
// ModalRuntime: how a container of this dialect starts. It runs the client's own entrypoint, with
// the client's package at /pkg, its dependencies at /__modal/deps, the function's definition in a
// file, and its Unix socket as the only way to this server.
#pragma once

#include "thaw/control/runtime.h"
#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/calls.pb.h"
#include "thaw/dialect/modal/proto/functions.pb.h"
#include "thaw/worker/kits/python/python.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

class ModalRuntime final : public control::Runtime {
 public:
  explicit ModalRuntime(Context& cx) : cx_(cx) {}
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override;

 private:
  Context& cx_;
  const worker::Kit kit_ = worker::kits::python();  // the client's
};

// The version whose client mount the function was created with; empty if it has none.
std::string client_version_of(Context& cx, const model::FunctionSpec& spec);
// What a container of the function is told by the client's own message.
pb::ContainerArguments arguments_for(Context& cx, const model::FunctionSpec& spec,
                                     const model::ContainerId& id, pb::Function definition);
// The same as a word of the command line, for versions of the client that take it so; empty for
// others. failed_precondition: it is longer than a word may be.
Result<std::string> word_for(const std::string& version, const pb::ContainerArguments& given,
                             const model::FunctionSpec& spec);

}  // namespace thaw::dialect::modal
