// SPDX-License-Identifier: Apache-2.0
//
// The operations of this API, and those of a Worker's binding: who asks, and which one it is, from
// one table. Loop thread only.
#pragma once

#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

// /client/v4/accounts/ACCOUNT/ai/…: whose things are asked for the token says, whatever the
// account.
async::Task<void> serve_api(Context& cx, net::HttpExchange& exchange);
// /run, /ai-api/… and /ai-gateway/… of the host that bindings ask for.
async::Task<void> serve_binding(Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::workers_ai
