// SPDX-License-Identifier: Apache-2.0
//
// Model aliases: names of other clouds' models, and which of one's own answers to them.
#pragma once

#include <string>

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// GET /api/v1/model-aliases
async::Task<void> serve_model_aliases(Context& cx, gateway::Identity who,
                                      net::HttpExchange& exchange);
// PUT {"target": "owner/name", "task": ""} and DELETE /api/v1/model-aliases/ALIAS
async::Task<void> serve_model_alias(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                    std::string name);

}  // namespace thaw::dialect::native
