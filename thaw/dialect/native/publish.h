// SPDX-License-Identifier: Apache-2.0
//
// A pushed function becomes live: the version that a request and an image make.
#pragma once

#include <optional>

#include "thaw/dialect/native/context.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/model/model_card.h"

namespace thaw::dialect::native {

// Whether only token holders may call it. failed_precondition: anyone may not, at this server.
Result<bool> for_tokens(const Context& cx, PushRequest::Callers callers);

// Of the image, which is built. `card`: it is a model; its id, if it has none yet, becomes its
// version's. `turn`: of Deployments::begin(), before anything was looked at.
async::Task<Published> publish(Context& cx, gateway::Identity who, PushRequest request,
                               model::Image image, std::optional<model::ModelCard> card,
                               std::uint64_t turn);

}  // namespace thaw::dialect::native
