// SPDX-License-Identifier: Apache-2.0
//
// One plain value of a JSON text, found without building the rest: of an answer that may be long
// or cut off, what stands before its end is enough. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::codec {

// At `pointer` (RFC 6901, "/status"): a text as it is, and all else as it is written in JSON. Of
// several the first. not_found: it is not there, or the text breaks off before it;
// invalid_argument: it is a list or an object, or the text is no JSON up to there.
Result<std::string> find_json_field(std::string_view text, std::string_view pointer);

}  // namespace thaw::codec
