// SPDX-License-Identifier: Apache-2.0
//
// Aliases of pushed functions.
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// GET /api/v1/functions/NAME/aliases
async::Task<void> serve_aliases(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                std::string function);
// PUT and DELETE /api/v1/functions/NAME/aliases/ALIAS
async::Task<void> serve_alias(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                              std::string function, std::string name);

}  // namespace thaw::dialect::native
