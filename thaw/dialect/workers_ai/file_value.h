// SPDX-License-Identifier: Apache-2.0
//
// Files inside inputs: clients send bytes as a list of numbers, as base64, or as an address; models
// take addresses. Pure.
#pragma once

#include <string>
#include <string_view>

#include "thaw/codec/json.h"

namespace thaw::dialect::workers_ai {

// As the address of a file: data:, http: or https:. invalid_argument: it is no file.
Result<std::string> file_address(const codec::Json& value);
// The same of bytes; `type`: what their sender says they are, may be empty.
std::string file_address(std::string_view bytes, std::string_view type);

}  // namespace thaw::dialect::workers_ai
