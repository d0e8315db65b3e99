// SPDX-License-Identifier: Apache-2.0
//
// A blob comes: POST begins an upload, or is one as a whole, or mounts a blob of another
// repository; PATCH sends a piece; PUT ends it; GET tells how far it has come; DELETE cancels it.
#pragma once

#include "thaw/dialect/registry/asker.h"
#include "thaw/dialect/registry/routes.h"

namespace thaw::dialect::registry {

// …/blobs/uploads/
async::Task<void> serve_uploads(const Context& cx, Asker asker, Route route,
                                net::HttpExchange& exchange);
// …/blobs/uploads/ID
async::Task<void> serve_upload(const Context& cx, Asker asker, Route route,
                               net::HttpExchange& exchange);

}  // namespace thaw::dialect::registry
