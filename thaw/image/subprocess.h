// SPDX-License-Identifier: Apache-2.0
//
// Runs a program of the host (mmdebstrap, apt-config) to its end on the calling thread, which is
// one of a pool. The program dies with this process, and with everything that it started.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::image {

struct Program {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH of `env`
  std::vector<std::string> env;   // complete
  // own_tree: in its own pid and mount namespaces (needs root), so that no process and no mount
  // outlives it, however it ends.
  enum class Isolation { none, own_tree } isolation = Isolation::none;
  Duration time_limit{};  // 0: none; past it the program is killed: deadline_exceeded
};

// The exit code (128 + signal). `on_output` gets stdout and stderr as they come. Setting `stop`
// from another thread kills the program: Error::cancelled.
Result<int> run_program(const Program& program,
                        const std::function<void(std::string_view)>& on_output,
                        const std::atomic<bool>& stop);

}  // namespace thaw::image
