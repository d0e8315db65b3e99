// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1.1 connection of a server, from its first byte to its last, with a peer that says all
// it has to say at once and reads whatever it is answered.
#pragma once

#include <string>
#include <string_view>

#include "thaw/net/http.h"

namespace thaw::fuzz {

// What the server sent. `at_once` is what it has read before it knew what is spoken.
std::string serve_connection(std::string_view at_once, std::string_view rest,
                             const net::HttpHandler& handler, std::size_t header_bytes);

}  // namespace thaw::fuzz
