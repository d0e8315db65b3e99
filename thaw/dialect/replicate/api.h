// SPDX-License-Identifier: Apache-2.0
//
// The operations of this API: who asks, and which one it is, from one table. Loop thread only.
#pragma once

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

async::Task<void> serve_api(Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::replicate
