// SPDX-License-Identifier: Apache-2.0
//
// Names with numbers, as options about aliases have them: "live=10", "de-1=90". Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "thaw/base/result.h"

namespace thaw::cli {

// invalid_argument shows the text that is not like `form`, or the name that is there twice. What
// number is meant is the server's to judge.
Result<std::map<std::string, std::uint32_t>> named_numbers(const std::vector<std::string>& texts,
                                                           const std::string& form);

}  // namespace thaw::cli
