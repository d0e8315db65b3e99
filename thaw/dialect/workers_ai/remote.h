// SPDX-License-Identifier: Apache-2.0
//
// A binding that a local simulator of Workers sends here: each of its requests comes to one
// address, with the address that it is meant for in a header, and its own headers under other
// names. It has no way to show a token but that address, which is /workers-ai/remote/KEY. Loop
// thread only.
#pragma once

#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

inline constexpr const char* remote_prefix = "/workers-ai/remote";

async::Task<void> serve_remote(Context& cx, net::HttpExchange& exchange);

}  // namespace thaw::dialect::workers_ai
