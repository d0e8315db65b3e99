// SPDX-License-Identifier: Apache-2.0
//
// The SQL text of a migration's step. Pure.
#pragma once

#include <string>

#include "thaw/store/migration.h"

namespace thaw::store::detail {

// Of any step but a Rewrite.
std::string text_of(const Step& step);

}  // namespace thaw::store::detail
