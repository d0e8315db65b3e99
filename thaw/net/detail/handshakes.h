// SPDX-License-Identifier: Apache-2.0
//
// Handshakes: how many TLS handshakes are under way, in all and of one address. They cost more than
// anything else that a stranger can ask for without a word about himself. An address that has its
// share waits for one of its own to end. When all places are taken, who comes from an address that
// has fewer takes the place of the oldest of the address that has most; who has as many waits.
// Loop thread only.
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

  // deadline_exceeded: there was none until then. cancelled: the socket was closed meanwhile. The
  // socket outlives the place.
  async::Task<std::unique_ptr<Place>> enter(const Account& account, Socket& socket,
                                            Instant deadline);
  std::size_t under_way() const { return places_.size(); }

 private:
  struct Waiting;
  std::shared_ptr<OfAddress> address_of(const std::string& name);
  bool has_place(const OfAddress& address);
  // One has left: the first who waits and may have its place gets it.
  void call_next();

  std::size_t most_;
  std::size_t most_of_an_address_;
  std::list<Place*> places_;     // the oldest first
  std::list<Waiting*> waiting_;  // likewise; no more than there are connections
  std::unordered_map<std::string, std::weak_ptr<OfAddress>> addresses_;
};

}  // namespace thaw::net::detail
