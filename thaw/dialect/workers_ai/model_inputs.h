// SPDX-License-Identifier: Apache-2.0
//
// From what clients of this cloud send to the inputs of a model with a contract: their word for a
// thing is looked for among the model's words for it. What only says how (a temperature) is left
// out where the model has no field for it; what says what (a prompt, an image) is an error then.
// Pure; any thread.
#pragma once

#include <vector>

#include "thaw/codec/json.h"
#include "thaw/dialect/workers_ai/contract.h"

namespace thaw::dialect::workers_ai {

constexpr std::size_t most_texts = 100;  // of one request

// One input for each time that the model is to be asked: several only of a list of texts for a
// model that takes one. invalid_argument says what does not fit.
Result<std::vector<codec::Json>> model_inputs(const codec::Json& given, const Contract& contract);

}  // namespace thaw::dialect::workers_ai
