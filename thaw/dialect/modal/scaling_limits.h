// SPDX-License-Identifier: Apache-2.0
//
// What a function may ask of its number of containers on this server. More than one function can
// have at a time is refused by name where it is a promise (`min_containers`), and brought down to
// it where it is a bound.
#pragma once

#include <cstdint>

#include "thaw/base/result.h"
#include "thaw/model/function.h"

namespace thaw::dialect::modal {

// A number of containers off the wire; never negative, whatever was sent.
int container_count(std::uint32_t sent);

// `most`: containers of the server; `most_of_one`: that one function can have of them.
Result<void> bound_scaling(model::FunctionSpec& spec, std::size_t most_of_one, std::size_t most);

}  // namespace thaw::dialect::modal
