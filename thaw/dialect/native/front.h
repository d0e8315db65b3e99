// SPDX-License-Identifier: Apache-2.0
//
// Requests to pushed functions: each is a passage through to the server inside, for whom the
// function admits.
#pragma once

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// Serves /fn/NAME/…: of the default workspace, or of the caller's if it shows a token.
async::Task<void> serve_fn(Context& cx, net::HttpExchange& exchange);
// Serves a request to a function's web address.
async::Task<void> serve_host(Context& cx, net::HttpExchange& exchange, gateway::WebTarget target);

}  // namespace thaw::dialect::native
