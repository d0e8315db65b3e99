// SPDX-License-Identifier: Apache-2.0
//
// RUN: one program in a sandbox on the layers so far; what it writes stays in DRAFT/upper. Its
// output goes to the build log as it comes; a failure becomes an Error with the exit code and the
// end of the output.
#pragma once

#include <string>
#include <vector>

#include "thaw/image/host_settings.h"
#include "thaw/image/plan.h"
#include "thaw/sandbox/sandbox.h"

namespace thaw::image {

struct RunRequest {
  std::string label;  // "step 3/6 (RUN make)"
  RunStep step;
  ImageConfig config;
  std::vector<std::string> layers;  // host folders, lowest first
  std::vector<std::string> secret_env;
  std::vector<sandbox::BindMount> mounts;  // of the step itself
  StepSettings settings;
  std::string draft;
  sandbox::Limits limits;
  sandbox::SandboxSpec::Network network = sandbox::SandboxSpec::Network::bridge;
  Duration timeout{};
};

async::Task<void> run_step(async::Loop& loop, sandbox::Spawner& spawner, RunRequest request,
                           BuildLog say);

}  // namespace thaw::image
