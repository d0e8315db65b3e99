// SPDX-License-Identifier: Apache-2.0
//
// The text of cog_schema.py, which the build of a Cog folder's image runs.
#pragma once

#include <string_view>

namespace thaw::cli {

std::string_view cog_schema();

}  // namespace thaw::cli
