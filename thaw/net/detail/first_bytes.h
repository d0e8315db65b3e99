// SPDX-License-Identifier: Apache-2.0
//
// What a new connection speaks, told by its first bytes: TLS begins with 0x16, which no request of
// HTTP does, and is taken off; HTTP/2 begins with its preface; the rest is HTTP/1.1. A peer that
// says nothing, or half of it, has the time of a head. Loop thread only.
#pragma once

#include <memory>
#include <string>

#include "thaw/net/detail/server_core.h"
#include "thaw/net/detail/socket.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

enum class Protocol { http1, http2 };

struct Newcomer {
  std::shared_ptr<ServerCore> core;
  std::shared_ptr<Account> account;
  Instant accepted_at;
};

// `read`: what was read of it, decrypted. Where the peer speaks TLS, `socket` does from then on and
// `peer` says so. The references outlive the task. An Error: it has gone, or is to be closed.
async::Task<Protocol> tell_protocol(Newcomer newcomer, Socket& socket, Peer& peer,
                                    std::string& read);

}  // namespace thaw::net::detail
