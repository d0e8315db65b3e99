// SPDX-License-Identifier: Apache-2.0
//
// Predictions: made, shown, listed, cancelled. Each is a durable call of a version of a model (or
// of a deployment), so that its queue, its limits and what survives a crash are the queue's.
// Loop thread only.
#pragma once

#include <string>

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

// What the path of a request for a prediction says.
struct PredictionPath {
  enum class Of { body, model, version, deployment } of = Of::body;
  std::string owner;
  std::string name;
  std::string version;
  std::string id;  // its caller's own (PUT); empty: it gets one
};
async::Task<void> serve_new_prediction(Context& cx, gateway::Identity who,
                                       net::HttpExchange& exchange, PredictionPath path);
async::Task<void> serve_predictions(Context& cx, gateway::Identity who,
                                    net::HttpExchange& exchange);
async::Task<void> serve_prediction(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                                   std::string id);
async::Task<void> serve_cancel(Context& cx, gateway::Identity who, net::HttpExchange& exchange,
                               std::string id);

}  // namespace thaw::dialect::replicate
