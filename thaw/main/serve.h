// SPDX-License-Identifier: Apache-2.0
//
// thaw serve: gateway, control and one worker in this process, and the spawner beside it.
#pragma once

#include <string>

#include "thaw/main/dialects.h"

namespace thaw::main_program {

struct ServeOptions {
  std::string listen = "127.0.0.1:8700";
  std::string data = "thaw-data";
  std::string configuration;
  // Go on without acknowledged commits or sealed secrets that are gone.
  enum class Loss { refuse, accept } loss = Loss::refuse;
};

// Runs until SIGTERM or SIGINT; returns the exit code.
int serve(const ServeOptions& options, const MakeDialects& make_dialects);

// Why this machine cannot give containers user ids of their own, tried where images are kept.
// Empty: it can.
std::string lacks_own_ids();

}  // namespace thaw::main_program
