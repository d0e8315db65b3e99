// SPDX-License-Identifier: Apache-2.0
//
// Amounts of memory as people write them. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::cli {

// "2GiB", "512 MiB", "1.5g", "800MB": a number with a unit. KiB, MiB, GiB, TiB and k, m, g, t count
// by 1024, kB, MB, GB and TB by 1000; capitals do not matter. invalid_argument for all else, and
// for less than a byte or more than 2^60.
Result<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace thaw::cli
