// SPDX-License-Identifier: Apache-2.0
//
// What functions have used, and what that costs (docs/guides/cost.md).
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// GET /api/v1/cost?by=function&from=2026-12-01&until=2026-12-31&workspace=NAME
async::Task<void> serve_cost(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::native
