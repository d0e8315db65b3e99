// SPDX-License-Identifier: Apache-2.0
//
// run_http1: one HTTP/1.1 connection from its first byte to its last. The server has sniffed it, if
// it may speak something else, and hands over the socket with the bytes read so far. The task is
// cancelled when the connection must go at once (its Unix socket is closed, or a drain is out of
// time): it then cancels and joins its handler and returns. For a drain it registers a
// LiveConnection in `core`, answers with `connection: close`, and closes at once when idle. It
// counts core->stats.http_requests, and takes core->limits (header_timeout, http1_idle,
// header_bytes) and core->timer for its timeouts. A container's has no such timeouts: it may be
// frozen meanwhile, and may have few connections.
#pragma once

#include <memory>
#include <string>

#include "thaw/async/task.h"
#include "thaw/net/detail/server_core.h"
#include "thaw/net/detail/socket.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

struct Http1Connection {
  Socket socket;             // non-blocking; TCP_NODELAY is set
  std::string already_read;  // what sniffing has read
  Peer peer;
  const HttpHandler* handler;  // outlives the connection
  std::shared_ptr<ServerCore> core;
  std::shared_ptr<Account> account;
  Instant accepted_at;  // the first head is due at accepted_at + limits.header_timeout
  // Where the server finds the connection while it lives.
  LiveConnection** place;
};

// An Error says why the connection broke; it has been told to the peer where possible.
async::Task<void> run_http1(Http1Connection connection);

}  // namespace thaw::net::detail
