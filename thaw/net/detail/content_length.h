// SPDX-License-Identifier: Apache-2.0
//
// What a message says of the length of its body: one number, said once. "5, 5" and a second field
// may be refused (RFC 9112, 6.3), and whoever reads the message next could take the other one.
#pragma once

#include <cstdint>
#include <optional>

#include "thaw/net/http.h"

namespace thaw::net::detail {

// nullopt: nothing. invalid_argument: more than one, or no number.
Result<std::optional<std::uint64_t>> content_length_of(const Headers& headers);

}  // namespace thaw::net::detail
