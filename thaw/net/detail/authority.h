// SPDX-License-Identifier: Apache-2.0
//
// Whom a request is for: its Host, or the host that an absolute target names. Routing, the
// addresses that are signed and what an application behind a proxy believes go by it, so it is a
// host and a port or the request is refused: nothing that the next reader could take for another
// host. Pure.
#pragma once

#include <string_view>

#include "thaw/net/http.h"

namespace thaw::net::detail {

// A name, an IPv4 or a bracketed IPv6 address, and perhaps a port. invalid_argument says what else
// it is; `what` is whose words it says so of ("the Host").
Result<void> check_authority(std::string_view text, std::string_view what);
// invalid_argument unless it is a path, "*" of OPTIONS, what CONNECT names, or absolute with an
// authority that passes.
Result<void> check_target(std::string_view method, std::string_view target);
// "GET http://host/path" is the same request as "GET /path" to that host.
void take_absolute_target(HttpRequest& request);

}  // namespace thaw::net::detail
