// SPDX-License-Identifier: Apache-2.0
//
// The stream of a prediction: server-sent events output, logs, error and done, each with an id by
// which whoever was cut off goes on behind it. Its address has a secret of its own: clients ask
// for it without a token. It is read from the call's log at the pace of who reads it. Loop thread
// only.
#pragma once

#include <string>

#include "thaw/dialect/replicate/context.h"

namespace thaw::dialect::replicate {

async::Task<void> serve_stream(Context& cx, net::HttpExchange& exchange, std::string id);

}  // namespace thaw::dialect::replicate
