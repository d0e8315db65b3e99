// SPDX-License-Identifier: Apache-2.0
//
// The TCP connections of a container's network, as /proc/PID/net/tcp and tcp6 show them: their
// ends, and what waits in their queues. Any process of the network will do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "thaw/base/result.h"

namespace thaw::worker {

// How many connections of the network namespace of process `pid` are established or on their way,
// other than those of its programs among themselves. unavailable: it cannot be read (it has ended).
Result<std::size_t> count_connections(int pid);
// Whether bytes, an end or a newcomer wait in the queues of sockets of that port, at either end;
// of sockets of IPv4, as a door is.
Result<bool> has_queued(int pid, std::uint16_t port);
// Whether somebody in that network listens at this port of any of its addresses.
Result<bool> has_listener(int pid, std::uint16_t port);

// The same of the text of one of these files.
std::size_t count_connections_in(std::string_view table);
bool has_queued_in(std::string_view table, std::uint16_t port);
bool has_listener_in(std::string_view table, std::uint16_t port);

}  // namespace thaw::worker
