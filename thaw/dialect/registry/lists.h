// SPDX-License-Identifier: Apache-2.0
//
// Lists: the workspace's repositories, a repository's tags, and what is about a manifest. In pages,
// each of a bounded number.
#pragma once

#include "thaw/dialect/registry/asker.h"
#include "thaw/dialect/registry/routes.h"

namespace thaw::dialect::registry {

async::Task<void> serve_catalog(const Context& cx, Asker asker, Route route,
                                net::HttpExchange& exchange);
async::Task<void> serve_tags(const Context& cx, Asker asker, Route route,
                             net::HttpExchange& exchange);
async::Task<void> serve_referrers(const Context& cx, Asker asker, Route route,
                                  net::HttpExchange& exchange);

}  // namespace thaw::dialect::registry
