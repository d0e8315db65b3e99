// SPDX-License-Identifier: Apache-2.0
//
// Http2Pool: connections to HTTP/2 servers, shared by many calls. One connection serves all calls
// of a server while it takes them; more are opened, up to a bound, where it does not; and one that
// has had no call for a while closes itself. Loop thread only; calls that are under way share it.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/net/detail/client_pool.h"
#include "thaw/net/detail/http2_client.h"

namespace thaw::net::detail {

class Http2Pool {
 public:
  Http2Pool(async::Loop& loop, std::shared_ptr<CoarseTimer> timer)
      : loop_(loop), timer_(std::move(timer)) {}

  // A connection that takes a call now, on which the call has to begin before the next wait.
  // Errors are those of connect().
  async::Task<std::shared_ptr<Http2Client>> take(Endpoint endpoint, Instant deadline);
  // A connection of its own, whose server has said that it speaks HTTP/2.
  async::Task<void> greet(Endpoint endpoint, Instant deadline);
  // Closes those that have no call; the others take no more.
  void forget(const Endpoint& endpoint);
  void close();

  async::Loop& loop() { return loop_; }
  CoarseTimer& timer() { return *timer_; }

 private:
  struct Server {
    std::vector<std::shared_ptr<Http2Client>> clients;
    bool is_connecting = false;
    async::Event connected;  // or not
  };
  std::shared_ptr<Http2Client> usable(Server& server);
  async::Task<std::shared_ptr<Http2Client>> connect_to(Endpoint endpoint, Instant deadline);
  void sweep();

  async::Loop& loop_;
  std::shared_ptr<CoarseTimer> timer_;
  std::map<std::string, std::shared_ptr<Server>> servers_;
  bool closed_ = false;
};

}  // namespace thaw::net::detail
