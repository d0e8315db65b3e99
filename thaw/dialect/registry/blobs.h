// SPDX-License-Identifier: Apache-2.0
//
// …/blobs/DIGEST: a blob as a whole, checked while it goes; a part of it; its size; its end.
#pragma once

#include "thaw/dialect/registry/asker.h"
#include "thaw/dialect/registry/routes.h"

namespace thaw::dialect::registry {

async::Task<void> serve_blob(const Context& cx, Asker asker, Route route,
                             net::HttpExchange& exchange);

}  // namespace thaw::dialect::registry
