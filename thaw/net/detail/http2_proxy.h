// SPDX-License-Identifier: Apache-2.0
//
// run_http2_proxy: one exchange, of HTTP/1.1 or HTTP/2, carried to a server that speaks HTTP/2
// without TLS, and back: bodies stream both ways at once, trailers go along, and a reset on one
// side ends the other. A request that the server refused unseen is sent again. WebSockets are not
// carried.
#pragma once

#include "thaw/net/detail/http2_pool.h"
#include "thaw/net/http_client.h"

namespace thaw::net::detail {

async::Task<void> run_http2_proxy(std::shared_ptr<Http2Pool> pool, HttpExchange& exchange,
                                  Endpoint endpoint, ProxyOptions options);

// HTTP/2's own fields and then the request's headers, with room for more.
std::vector<nghttp2_nv> http2_request(std::string_view method, std::string_view target,
                                      std::string_view authority, const Headers& headers);

}  // namespace thaw::net::detail
