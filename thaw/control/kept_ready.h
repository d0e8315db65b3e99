// SPDX-License-Identifier: Apache-2.0
//
// How many containers of a target are kept without a call. A function's minimum is that of its live
// version, as its other limits are; it is kept by whichever versions get its requests: by who
// follows the live one, or, where the alias "live" says where requests go, by those that it names.
// Reads the catalog only. Loop thread only.
#pragma once

#include <cstddef>
#include <vector>

#include "thaw/catalog/catalog.h"

namespace thaw::control {

std::size_t kept_ready(const catalog::Catalog& catalog, const model::Target& target);
// Those of a function that keep some.
std::vector<model::Target> kept_ready_targets(const catalog::Catalog& catalog,
                                              const model::FunctionId& function);

}  // namespace thaw::control
