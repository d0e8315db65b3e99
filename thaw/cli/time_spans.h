// SPDX-License-Identifier: Apache-2.0
//
// Spans of time as people type them: "90s", "15m", "12h", "30d".
#pragma once

#include <string>

#include "thaw/base/result.h"

namespace thaw::cli {

// Seconds. invalid_argument tells what a span is; there are none of more than a hundred years.
Result<double> parse_time_span(const std::string& text);

}  // namespace thaw::cli
