// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/handshakes.h"

namespace thaw::net::detail {

Handshakes::Place::Place(Handshakes& all, std::shared_ptr<OfAddress> address, Socket& socket)
    : all_(all), address_(std::move(address)), socket_(socket) {
  ++address_->under_way;
  at_ = all_.places_.insert(all_.places_.end(), this);
}

Handshakes::Place::~Place() { leave(); }

void Handshakes::Place::leave() {
  if (!has_left_) {
    has_left_ = true;
    all_.places_.erase(at_);
    --address_->under_way;
    address_->freed.notify_one();
  }
}

async::Task<std::unique_ptr<Handshakes::Place>> Handshakes::enter(const Account& account,
                                                                  Socket& socket,
                                                                  Instant deadline) {
  auto& known = addresses_[account.name()];
  std::shared_ptr<OfAddress> address = known.lock();
  if (!address) {
    // Those that nobody uses any more go, once there are more of them than there can be in use.
    if (addresses_.size() > 2 * most_) {
      std::erase_if(addresses_, [](const auto& one) { return one.second.expired(); });
    }
    address = std::make_shared<OfAddress>();
    addresses_[account.name()] = address;
  }
  while (address->under_way >= most_of_an_address_) {
    THAW_CO_TRY(const bool notified, co_await address->freed.wait(deadline));
    if (!socket.is_open()) {
      address->freed.notify_one();  // for somebody else
      co_return Error::cancelled("closed before its handshake began");
    }
    if (!notified && address->under_way >= most_of_an_address_) {
      co_return Error::deadline_exceeded(account.name() + " has too many handshakes under way");
    }
  }
  if (places_.size() >= most_) {
    Place& oldest = *places_.front();
    boost::system::error_code ignored;
    oldest.socket_.close(ignored);
    oldest.leave();
  }
  co_return std::make_unique<Place>(*this, std::move(address), socket);
}

}  // namespace thaw::net::detail
