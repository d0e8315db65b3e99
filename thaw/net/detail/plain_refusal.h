// SPDX-License-Identifier: Apache-2.0
//
// What another machine gets that asks in plain words where TLS is to be spoken: a sentence in the
// protocol that it has begun with, and the end. What it sends is not looked at, and a token that is
// in it does not work, so nobody goes on to show it to the network. Loop thread only.
#pragma once

#include <memory>

#include "thaw/net/detail/first_bytes.h"
#include "thaw/net/detail/server_core.h"
#include "thaw/net/detail/socket.h"

namespace thaw::net::detail {

// The other end of this TCP connection is not on this machine.
bool is_from_afar(Socket& socket);

async::Task<void> refuse_plain(std::shared_ptr<ServerCore> core, Socket socket, Protocol protocol);

}  // namespace thaw::net::detail
