// SPDX-License-Identifier: Apache-2.0
//
// ForkPlan: what a container's plan says about being forked from a template instead of booted. Two
// containers may come from one template if nothing of their plans that shapes an interpreter before
// its first line differs.
#pragma once

#include <string>
#include <vector>

#include "thaw/worker/bind.h"

namespace thaw::worker {

struct ForkPlan {
  std::string kit;  // by name: whose fork program it is (kit.h)
  std::string workspace;
  std::vector<std::string> layers;  // sources, of the image alone, lowest first
  std::vector<Bind> binds;          // of the language runtime
  std::vector<std::string> env;     // what shapes the interpreter, and nothing secret else
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

}  // namespace thaw::worker
