// SPDX-License-Identifier: Apache-2.0
//
// Who asks, what there is to run on, how webhooks are signed; and what this server has none of.
// Loop thread only.
#pragma once

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

async::Task<void> serve_account(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_hardware(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_webhook_secret(Context& cx, gateway::Identity who,
                                       net::HttpExchange& exchange);
// A list of things of which there are none here.
async::Task<void> serve_none(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::replicate
