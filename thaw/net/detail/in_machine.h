// SPDX-License-Identifier: Apache-2.0
//
// Connections whose other end is on this machine: of clients on loopback, and to containers.
#pragma once

#include <sys/socket.h>

namespace thaw::net::detail {

bool is_loopback(const sockaddr_storage& address);
// The same address, whatever the ports; one of IPv4 may be written as one of IPv6.
bool is_same_host(const sockaddr_storage& one, const sockaddr_storage& other);

// There is no link between the two that could be full. The congestion control that the host has
// chosen for its links may pace what is sent, as BBR does, at a calculation and a timer for each
// send (a twentieth of a proxied request); Reno counts, and every kernel has it. Where it is
// refused all stays as it was.
void send_unpaced(int socket);

}  // namespace thaw::net::detail
