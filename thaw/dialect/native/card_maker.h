// SPDX-License-Identifier: Apache-2.0
//
// How a push becomes a model: the function that it is, and the card of the version, which is made
// once the image is built. What lies in an image is its maker's: it is taken when it is JSON of a
// bounded size, and for nothing else.
#pragma once

#include <string>

#include "thaw/dialect/native/context.h"
#include "thaw/dialect/native/pushed_model.h"

namespace thaw::dialect::native {

// The name of the function that it is; fills in what was not said. already_exists: that is another
// model's by now.
Result<std::string> function_for(Context& cx, const catalog::Scope& scope, PushedModel& model);

// Without an id, which is its version's. failed_precondition: the image has no such schema.
async::Task<model::ModelCard> card_for(Context& cx, gateway::Identity who, PushedModel model,
                                       std::string image_key);

}  // namespace thaw::dialect::native
