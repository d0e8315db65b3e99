// SPDX-License-Identifier: Apache-2.0
//
// ServerCore: what the connections of one server share. Shared ownership, because tasks of
// connections may still end after the Server itself. Loop thread only.
#pragma once

#include <boost/intrusive/list.hpp>
#include <string>
#include <vector>

#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/detail/handshakes.h"
#include "thaw/net/detail/shares.h"
#include "thaw/net/detail/turns.h"
#include "thaw/net/server.h"

namespace thaw::net::detail {

// A connection as the server sees it when it drains, or has no room. It registers itself while it
// lives, and says when it has no request.
class LiveConnection : public Resting, public boost::intrusive::list_base_hook<AutoUnlink> {
 public:
  ~LiveConnection() override = default;
  // The server drains: close now if idle, else after the exchanges that run. Called once at most,
  // outside the connection's own code; a connection that starts later looks at core.draining.
  virtual void begin_drain() = 0;
  // Neither side has sent what the other has not read, and no request and no answer is half there.
  virtual bool is_quiet() { return false; }
  // Its requests that are not answered wholly.
  virtual std::size_t exchanges() const { return 0; }
};

struct ServerCore {
  ServerCore(async::Loop& l, const ServerLimits& server_limits)
      : loop(l),
        limits(server_limits),
        timer(l),
        shares(std::make_shared<Shares>(server_limits.buffer_bytes)),
        turns(l),
        handshakes(server_limits.handshakes, server_limits.handshakes_per_address),
        read_buffer(64u << 10) {}

  async::Loop& loop;
  const ServerLimits limits;
  CoarseTimer timer;
  const std::shared_ptr<Shares> shares;
  Turns turns;
  Handshakes handshakes;
  std::shared_ptr<const TlsIdentities> tls;  // of connections from now on; null: none speak it
  Server::Stats stats;
  std::size_t exchanges = 0;  // of HTTP/1.1, under way
  bool draining = false;
  RestingOfAll resting;  // the one that rests longest is first
  boost::intrusive::list<LiveConnection, boost::intrusive::constant_time_size<false>> connections;
  // Holds bytes between one read and their decoding only, never across a suspension.
  std::vector<char> read_buffer;
  // Empty, with room that is used again by whoever writes next.
  std::string write_buffer;

  // A connection has no request from now on; has one.
  void rests(Resting& connection) {
    works(connection);
    resting.push_back(connection);
    if (connection.counted) {
      connection.counted->resting.push_back(connection);
    }
  }
  static void works(Resting& connection) {
    connection.in_all.unlink();
    connection.in_account.unlink();
  }
};

}  // namespace thaw::net::detail
