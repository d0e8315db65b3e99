// SPDX-License-Identifier: Apache-2.0
//
// …/manifests/REFERENCE: a manifest or index by a tag or its digest, as it was pushed.
#pragma once

#include "thaw/dialect/registry/asker.h"
#include "thaw/dialect/registry/routes.h"

namespace thaw::dialect::registry {

async::Task<void> serve_manifest(const Context& cx, Asker asker, Route route,
                                 net::HttpExchange& exchange);

}  // namespace thaw::dialect::registry
