// SPDX-License-Identifier: Apache-2.0
//
// Schedules, for people and programs; and the request that a server gets at a tick of its own.
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// The header of such a request: seconds since the epoch.
inline constexpr const char* tick_header = "thaw-tick";

// A durable call: POST, without a body, to the path that the push named, else to where its preset
// takes calls. data_loss if the version's definition cannot be read.
Result<gateway::CallbackCall> call_at_tick(const gateway::Route& route, WallTime tick);

// GET /api/v1/schedules?cursor=N
async::Task<void> serve_schedules(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
// POST /api/v1/schedules/FUNCTION/runs; the function by its id
async::Task<void> serve_run_now(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                std::string function);

}  // namespace thaw::dialect::native
