// SPDX-License-Identifier: Apache-2.0
//
// A push: what of the files is not here yet; then the image is built, its log told as it comes, and
// a version of the function is published.
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// POST /api/v1/uploads
async::Task<void> serve_uploads(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
// POST /api/v1/functions
async::Task<void> serve_push(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::native
