// SPDX-License-Identifier: Apache-2.0
//
// What several files need of functions. Bound variants: one set of a class's parameters, or of a
// function's options, is a function of its own with its own containers. It is made when somebody
// first asks for it, and has one id for ever.
#pragma once

#include "thaw/dialect/modal/context.h"
#include "thaw/dialect/modal/proto/functions.pb.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;

// Of a definition: its own endpoints, or those of its class's methods.
Result<std::vector<model::WebEndpoint>> endpoints_of(Context& cx, const pb::Function& f,
                                                     const model::App& app);
// A client holds it by its id; who asks by an address names the parameters each time.
enum class VariantFor { client, url };
// resource_exhausted if it would be one more than there may be (variant_limits.h) and none that was
// asked for by an address can make room.
async::Task<std::shared_ptr<const catalog::Function>> variant_of(
    Context& cx, gateway::Identity who, std::shared_ptr<const catalog::Function> function,
    pb::FunctionBindParamsRequest request, VariantFor whom);
// Forgets what was noted of variants that are gone.
async::Task<void> variants_loop(Context& cx);

}  // namespace thaw::dialect::modal
