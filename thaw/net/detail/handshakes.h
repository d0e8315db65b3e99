// SPDX-License-Identifier: Apache-2.0
//
// Handshakes: how many TLS handshakes are under way, in all and of one address. They cost more than
// anything else that a stranger can ask for without a word about himself. An address that has its
// share waits for one of its own; when all places are taken the oldest gives way, as whoever means
// it is done in a few round trips. Loop thread only.
#pragma once

#include <list>
#include <memory>
#include <string>
#include <unordered_map>

#include "thaw/async/event.h"
#include "thaw/net/detail/shares.h"
#include "thaw/net/detail/socket.h"

namespace thaw::net::detail {

class Handshakes {
 public:
  Handshakes(std::size_t all, std::size_t of_an_address)
      : most_(all), most_of_an_address_(of_an_address) {}

  struct OfAddress {
    std::size_t under_way = 0;
    async::Event freed;
  };

  // A place, until it is destroyed; its socket is closed if it has to give way.
  class Place {
   public:
    Place(Handshakes& all, std::shared_ptr<OfAddress> address, Socket& socket);
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class Handshakes;
    void leave();

    Handshakes& all_;
    const std::shared_ptr<OfAddress> address_;
    Socket& socket_;
    std::list<Place*>::iterator at_;
    bool has_left_ = false;
  };

  // deadline_exceeded: others of that address had all its places until then. cancelled: the socket
  // was closed meanwhile. The socket outlives the place.
  async::Task<std::unique_ptr<Place>> enter(const Account& account, Socket& socket,
                                            Instant deadline);
  std::size_t under_way() const { return places_.size(); }

 private:
  std::size_t most_;
  std::size_t most_of_an_address_;
  std::list<Place*> places_;  // the oldest first
  std::unordered_map<std::string, std::weak_ptr<OfAddress>> addresses_;
};

}  // namespace thaw::net::detail
