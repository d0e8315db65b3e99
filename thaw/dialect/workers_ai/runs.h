// SPDX-License-Identifier: Apache-2.0
//
// Models are run: for a client of the API, and for a Worker's binding. Loop thread only.
#pragma once

#include <string>

#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

// POST accounts/ACCOUNT/ai/run/NAME
async::Task<void> serve_run(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                            std::string name);
// POST /run of a binding, which names the model in a header.
async::Task<void> serve_binding_run(Context& cx, gateway::Identity who,
                                    net::HttpExchange& exchange);

}  // namespace thaw::dialect::workers_ai
