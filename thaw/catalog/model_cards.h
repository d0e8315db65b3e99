// SPDX-License-Identifier: Apache-2.0
//
// Where the card of a model is: in front of the definition of its version, which then goes wherever
// the version goes: it is published, kept, gone back to and dropped in one write with it. Whose
// dialect published it does not matter, and the record of a version has no field more. Pure.
//
//   "\x1fmodel-card\n"  {"owner": …, "schema_bytes": N, …}  "\n"  schema  the dialect's own bytes
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "thaw/model/model_card.h"

namespace thaw::catalog {

// FunctionSpec::definition of a version that is a model. `own`: the dialect's bytes.
std::string with_model_card(const model::ModelCard& card, std::string_view own);
// The dialect's own bytes in it, with a card or without one.
std::string_view own_definition(std::string_view definition);
// nullopt: it is no model. data_loss: it has a card that cannot be read.
Result<std::optional<model::ModelCard>> model_card_of(std::string_view definition);

}  // namespace thaw::catalog
