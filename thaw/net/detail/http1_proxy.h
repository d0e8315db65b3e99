// SPDX-License-Identifier: Apache-2.0
//
// run_proxy: one exchange carried to an HTTP/1.1 server and back. The common case (no body, or a
// small one; a quick answer) runs in one task without timers or groups. A large body is sent by a
// second task, because a server may answer before it has all; and a client that has waited for a
// while is watched, so that its going away ends the work upstream.
#pragma once

#include "thaw/net/detail/client_pool.h"

namespace thaw::net::detail {

async::Task<void> run_proxy(std::shared_ptr<ClientPool> pool, HttpExchange& exchange,
                            Endpoint endpoint, ProxyOptions options);

// What goes upstream for `request`; pure. It names what stands in its two arguments.
struct ProxiedHead {
  enum class Body { none, length, chunked, unknown };  // unknown: HTTP/2 does not tell
  Body body = Body::none;
  std::uint64_t length = 0;
  bool upgrade = false;
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view target;
};
bool hides_its_body(const HttpRequest& request);
Result<ProxiedHead> proxied_head(const HttpRequest& request, const ProxyOptions& options);
Result<std::string> render(const ProxiedHead& head, const HttpRequest& request);

// The headers of the server's answer that go to the client.
Headers proxied_answer(Headers headers);

}  // namespace thaw::net::detail
