// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/handshakes.h"

namespace thaw::net::detail {

// In the frame of the task that waits.
struct Handshakes::Waiting {
  Waiting(std::list<Waiting*>& line, std::shared_ptr<OfAddress> from, Socket& whose)
      : address(std::move(from)), socket(whose), line_(line) {
    at_ = line_.insert(line_.end(), this);
  }
  ~Waiting() { leave(); }
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

  void leave() {
    if (is_in_line_) {
      is_in_line_ = false;
      line_.erase(at_);
    }
  }

  const std::shared_ptr<OfAddress> address;
  Socket& socket;
  std::unique_ptr<Place> place;  // once it is called
  async::Event called;

 private:
  std::list<Waiting*>& line_;
  std::list<Waiting*>::iterator at_;
  bool is_in_line_ = true;
};

Handshakes::Place::Place(Handshakes& all, std::shared_ptr<OfAddress> address, Socket& socket)
    : all_(all), address_(std::move(address)), socket_(socket) {
  ++address_->under_way;
  at_ = all_.places_.insert(all_.places_.end(), this);
}

Handshakes::Place::~Place() {
  if (!has_left_) {
    leave();
    all_.call_next();
  }
}

void Handshakes::Place::leave() {
  has_left_ = true;
  all_.places_.erase(at_);
  --address_->under_way;
}

std::shared_ptr<Handshakes::OfAddress> Handshakes::address_of(const std::string& name) {
  const auto found = addresses_.find(name);
  std::shared_ptr<OfAddress> address = found == addresses_.end() ? nullptr : found->second.lock();
  if (!address) {
    // Those that nobody uses any more go, once there are more of them than places.
    if (addresses_.size() > 2 * most_) {
      std::erase_if(addresses_, [](const auto& one) { return one.second.expired(); });
    }
    address = std::make_shared<OfAddress>();
    addresses_[name] = address;
  }
  return address;
}

bool Handshakes::has_place(const OfAddress& address) {
  if (address.under_way >= most_of_an_address_) {
    return false;
  }
  if (places_.size() < most_) {
    return true;
  }
  Place* found = nullptr;
  for (Place* place : places_) {
    if (found == nullptr || place->address_->under_way > found->address_->under_way) {
      found = place;
    }
  }
  if (found == nullptr || found->address_->under_way <= address.under_way + 1) {
    return false;
  }
  boost::system::error_code ignored;
  found->socket_.close(ignored);
  found->leave();
  return true;
}

void Handshakes::call_next() {
  if (places_.size() >= most_) {
    return;
  }
  for (Waiting* waiting : waiting_) {
    if (waiting->address->under_way < most_of_an_address_) {
      waiting->place = std::make_unique<Place>(*this, waiting->address, waiting->socket);
      waiting->leave();
      waiting->called.notify_all();
      return;
    }
  }
}

async::Task<std::unique_ptr<Handshakes::Place>> Handshakes::enter(const Account& account,
                                                                  Socket& socket,
                                                                  Instant deadline) {
  std::shared_ptr<OfAddress> address = address_of(account.name());
  if (has_place(*address)) {
    co_return std::make_unique<Place>(*this, std::move(address), socket);
  }
  Waiting waiting(waiting_, std::move(address), socket);
  while (!waiting.place) {
    THAW_CO_TRY(const bool notified, co_await waiting.called.wait(deadline));
    if (!notified && !waiting.place) {
      co_return Error::deadline_exceeded(account.name() + " has too many handshakes under way");
    }
  }
  if (!socket.is_open()) {
    co_return Error::cancelled("closed before its handshake began");
  }
  co_return std::move(waiting.place);
}

}  // namespace thaw::net::detail
