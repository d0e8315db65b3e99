// SPDX-License-Identifier: Apache-2.0
//
// The server side of WebSocket (RFC 6455) on a connection whose upgrade request was read already.
// Pings are answered, and sent to a silent peer, while somebody receives.
#pragma once

#include <memory>
#include <string>

#include "thaw/net/detail/stream.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

constexpr std::size_t websocket_message_bytes = 16u << 20;

// `request` is the upgrade request; it is used before the first wait ends.
async::Task<std::unique_ptr<WebSocket>> upgrade_to_websocket(std::shared_ptr<Stream> stream,
                                                             const HttpRequest& request,
                                                             std::string subprotocol,
                                                             Headers headers);

}  // namespace thaw::net::detail
