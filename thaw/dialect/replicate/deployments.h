// SPDX-License-Identifier: Apache-2.0
//
// Deployments: a version of a model under a name of its own, with limits of its own. Each is a
// function that is like the model's but for these, so that it has its own containers; and a
// document that says which. Loop thread only.
#pragma once

#include <string>

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

struct DeploymentTarget {
  gateway::Route route;
  std::shared_ptr<const model::ModelCard> card;
};
// Where its predictions go. not_found.
Result<DeploymentTarget> find_deployment(Context& cx, const gateway::Identity& who,
                                         const std::string& owner, const std::string& name);

async::Task<void> serve_new_deployment(Context& cx, gateway::Identity who,
                                       net::HttpExchange& exchange);
async::Task<void> serve_deployments(Context& cx, gateway::Identity who,
                                    net::HttpExchange& exchange);
async::Task<void> serve_deployment(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                   std::string owner, std::string name);

}  // namespace thaw::dialect::replicate
