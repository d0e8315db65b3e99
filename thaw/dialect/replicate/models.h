// SPDX-License-Identifier: Apache-2.0
//
// Models and their versions, as clients find them. Loop thread only.
#pragma once

#include <string>

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

// not_found, and how one is made.
Result<gateway::Model> find_model(const Context& cx, const gateway::Identity& who,
                                  const std::string& owner, const std::string& name);
Result<gateway::ModelVersion> find_version(const Context& cx, const gateway::Identity& who,
                                           const gateway::Model& model, const std::string& id);

async::Task<void> serve_models(Context& cx, gateway::Identity who, net::HttpExchange& exchange);
async::Task<void> serve_model(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                              std::string owner, std::string name);
async::Task<void> serve_versions(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                 std::string owner, std::string name);
async::Task<void> serve_version(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                std::string owner, std::string name, std::string id);
// QUERY models: by words of names and descriptions.
async::Task<void> serve_search(Context& cx, gateway::Identity who, net::HttpExchange& exchange);

}  // namespace thaw::dialect::replicate
