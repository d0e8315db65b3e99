// SPDX-License-Identifier: Apache-2.0
//
// What both dialects of this folder do in the same way: a function is one Python program in the
// house's Python image. Written against the gateway's interfaces, as any dialect's is.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "thaw/codec/json.h"
#include "thaw/gateway/dialect.h"

namespace thaw::dialects_test {

using Found = gateway::Published;

// "TOKEN_ID:SECRET".
Result<gateway::Identity> identify(const gateway::Owners& owners, const std::string& key);

// Builds the image if nobody has, and makes `spec` live: the function of its name in the default
// environment of whoever asks. What it is started by stands in `spec` and in its dialect's Runtime.
async::Task<model::FunctionId> publish(const gateway::Owners& owners, gateway::Identity who,
                                       model::FunctionSpec spec);

// not_found: none of that dialect, as far as `who` can see.
Result<Found> find(const gateway::Owners& owners, const gateway::Identity& who,
                   const std::string& dialect, const std::string& name);

// A call with one input, begun.
struct CallOptions {
  model::Durability durability = model::Durability::memory;
  model::CallLimits limits = {};
};
async::Task<model::CallId> begin(const gateway::Owners& owners, Found function,
                                 model::Payload payload, CallOptions options);

// How its input ended; nothing: it has not, until then. not_found: it is not `who`'s.
async::Task<std::vector<model::LogEntry>> ends_of(const gateway::Owners& owners,
                                                  gateway::Identity who, model::CallId call,
                                                  Instant until);
// Tells its container, or ends it at once if none has it.
async::Task<void> cancel(const gateway::Owners& owners, gateway::Identity who, model::CallId call);

async::Task<void> answer_json(net::HttpExchange& exchange, int status, codec::Json json);

}  // namespace thaw::dialects_test
