// SPDX-License-Identifier: Apache-2.0
//
// thaw serve: gateway, control and one worker in this process, and the spawner beside it.
#pragma once

#include <string>

namespace thaw::main_program {

struct ServeOptions {
  std::string listen = "127.0.0.1:8700";
  std::string data = "thaw-data";
  std::string configuration;
};

// Runs until SIGTERM or SIGINT; returns the exit code.
int serve(const ServeOptions& options);

}  // namespace thaw::main_program
