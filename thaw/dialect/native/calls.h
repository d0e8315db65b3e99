// SPDX-License-Identifier: Apache-2.0
//
// Calls of pushed functions: an input is one HTTP request, kept until its server has answered.
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// POST /api/v1/functions/NAME/calls
async::Task<void> serve_new_call(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                 std::string name);
// GET /api/v1/calls?function=NAME&limit=N&cursor=C
async::Task<void> serve_calls(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
// GET and DELETE /api/v1/calls/ID, GET /api/v1/calls/ID/result
async::Task<void> serve_call(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                             std::string id, std::string what);

}  // namespace thaw::dialect::native
