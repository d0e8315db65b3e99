// SPDX-License-Identifier: Apache-2.0
//
// What there is to run, as clients look for it: aliases and models, their schemas, and tasks. Loop
// thread only.
#pragma once

#include <string>

#include "thaw/dialect/workers_ai/answers.h"
#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

// GET ai/models/search?search=&task=&author=&page=&per_page=
async::Task<void> serve_model_search(Context& cx, gateway::Identity who,
                                     net::HttpExchange& exchange);
// GET ai/models/schema?model=
async::Task<void> serve_model_schema(Context& cx, gateway::Identity who,
                                     net::HttpExchange& exchange);
// GET ai/tasks/search
async::Task<void> serve_tasks(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::workers_ai
