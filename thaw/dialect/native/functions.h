// SPDX-License-Identifier: Apache-2.0
//
// What was pushed: told, listed and removed.
#pragma once

#include "thaw/codec/json.h"
#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// As docs/reference/api.md says: of a version, and of an alias.
codec::Json json_of(Context& cx, const Published& published);
codec::Json json_of(const model::Alias& alias, const std::string& function);

// GET /api/v1/functions
async::Task<void> serve_list(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
// GET and DELETE /api/v1/functions/NAME
async::Task<void> serve_function(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                 std::string name);

}  // namespace thaw::dialect::native
