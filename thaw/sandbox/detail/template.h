// SPDX-License-Identifier: Apache-2.0
//
// The server's side of a template: its sandbox, and the socket over which its program speaks. The
// spawner has that socket's same end too, to send requests; only the server reads from it.
#pragma once

#include <memory>

#include "thaw/sandbox/detail/running_sandbox.h"

namespace thaw::sandbox::detail {

async::Task<std::unique_ptr<Template>> start_template(std::shared_ptr<ControlLine> line,
                                                      os::Cgroup cgroup, SandboxSpec spec);

}  // namespace thaw::sandbox::detail
