// SPDX-License-Identifier: Apache-2.0
//
// /v2/token: who shows a password gets a token for a few minutes, good for what was asked for as
// far as its holder may. By GET with Basic, as Docker's tools ask, or by POST of a form, as OAuth
// has it.
#pragma once

#include "thaw/dialect/registry/context.h"
#include "thaw/net/http.h"

namespace thaw::dialect::registry {

async::Task<void> serve_token(const Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::registry
