// SPDX-License-Identifier: Apache-2.0
//
// ServerCore: what the connections of one server share. Shared ownership, because tasks of
// connections may still end after the Server itself. Loop thread only.
#pragma once

#include <boost/intrusive/list.hpp>
#include <string>
#include <vector>

#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/server.h"

namespace thaw::net::detail {

// A connection as the server's drain sees it. It registers itself while it lives.
class LiveConnection : public boost::intrusive::list_base_hook<
                           boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~LiveConnection() = default;
  // The server drains: close now if idle, else after the exchanges that run. Called once at most,
  // outside the connection's own code; a connection that starts later looks at core.draining.
  virtual void begin_drain() = 0;
};

struct ServerCore {
  ServerCore(async::Loop& l, const ServerLimits& server_limits)
      : loop(l), limits(server_limits), timer(l), read_buffer(64u << 10) {}

  async::Loop& loop;
  const ServerLimits limits;
  CoarseTimer timer;
  Server::Stats stats;
  bool draining = false;
  boost::intrusive::list<LiveConnection, boost::intrusive::constant_time_size<false>> connections;
  // Holds bytes between one read and their decoding only, never across a suspension.
  std::vector<char> read_buffer;
  // Empty, with room that is used again by whoever writes next.
  std::string write_buffer;
};

}  // namespace thaw::net::detail
