// SPDX-License-Identifier: Apache-2.0
//
// /api/v1: who asks, and which operation it is, from one table (docs/reference/api.md).
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

async::Task<void> serve_api(Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::native
