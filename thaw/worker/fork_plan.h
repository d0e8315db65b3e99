// SPDX-License-Identifier: Apache-2.0
//
// ForkPlan: what a container's plan says about being forked from a template instead of booted. Two
// containers may come from one template if nothing of their plans that shapes an interpreter before
// its first line differs.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "thaw/sandbox/sandbox.h"

namespace thaw::worker {

struct ForkPlan {
  std::string workspace;
  std::vector<std::string> layers;        // of the image alone, lowest first
  std::vector<sandbox::BindMount> binds;  // of the language runtime
  std::vector<std::string> env;           // what shapes the interpreter, and nothing secret else
  // All but what is this container's alone: a template that also imports what forks were seen to
  // import, and modules may read anything then, is for just this.
  std::vector<std::string> whole_env;
  // `nothing` where the container's own files lie among the image's modules.
  enum class Learns { imports, nothing } learns = Learns::imports;
  // Of a plan that was made richer: what it was before, which it shares with its successors.
  std::string lineage;
  // To import; the first is what a fork runs.
  std::vector<std::string> modules;
};

// Whether an environment variable is read by an interpreter, a C library or a numerical library
// when it starts, so that changing it in a fork would come too late.
bool shapes_interpreter(std::string_view name);

}  // namespace thaw::worker
