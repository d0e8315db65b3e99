// SPDX-License-Identifier: Apache-2.0
//
// Models of a workspace: listed, shown with their schemas and versions, and gone back to an older
// version. "-" in the place of an owner is the workspace's own name.
#pragma once

#include <string>

#include "thaw/codec/json.h"
#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

// Without the schema.
codec::Json json_of(const model::ModelCard& card);

async::Task<void> serve_models(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_model(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                              std::string owner, std::string name);
// {"version": "a1b2"}: an id, or how one begins; empty: the version before the latest.
async::Task<void> serve_latest(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                               std::string owner, std::string name);

}  // namespace thaw::dialect::native
