// SPDX-License-Identifier: Apache-2.0
//
// Which function answers to a name: by an alias of the workspace, or a model by its owner and name.
// What it is to be asked is made here too: of a model with a contract by that, of another server as
// servers of language models are asked. Loop thread only.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "thaw/dialect/workers_ai/context.h"
#include "thaw/dialect/workers_ai/run_request.h"
#include "thaw/dialect/workers_ai/task.h"

namespace thaw::dialect::workers_ai {

struct Chosen {
  std::string asked;  // the name
  gateway::Route route;
  std::shared_ptr<const KnownModel> known;  // null: it is a server without a contract
  std::optional<ModelTask> task;            // as its alias says
};

// nullopt: nothing answers to it, as far as the asker can see.
std::optional<Chosen> choose(Context& cx, const gateway::Identity& who, const std::string& name);

// What the inputs of a call are.
struct Payloads {
  std::vector<std::string> bytes;
  const char* type = "";
};
// Any thread. invalid_argument: they are none for it.
Result<Payloads> payloads_for(const Chosen& chosen, const RunRequest& request);

}  // namespace thaw::dialect::workers_ai
