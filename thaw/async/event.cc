// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/event.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <list>

#include "thaw/async/timer.h"

namespace thaw::async {

namespace asio = boost::asio;

namespace {

enum class Wake { none, notified, destroyed };

struct Waiter {
  Timer timer;
  Wake wake = Wake::none;
};

}  // namespace

// Shared with the frames of waiting tasks: at the end of the program a loop may destroy frames
// after the Event itself is gone.
struct Event::Waiters {
  std::list<Waiter*> list;

  void wake_front(Wake wake) {
    Waiter* waiter = list.front();
    list.pop_front();
    waiter->wake = wake;
    waiter->timer.cancel();
  }
};

namespace {

// Takes the waiter out of the list however its frame ends.
struct Registration {
  std::shared_ptr<Event::Waiters> waiters;
  Waiter* waiter;
  ~Registration() { waiters->list.remove(waiter); }
};

}  // namespace

Event::Event() : waiters_(std::make_shared<Waiters>()) {}

Event::~Event() {
  while (waiters_ && !waiters_->list.empty()) {
    waiters_->wake_front(Wake::destroyed);
  }
}

Event::Event(Event&&) noexcept = default;
Event& Event::operator=(Event&&) noexcept = default;

Task<bool> Event::wait(Instant deadline) {
  if (co_await is_cancelled()) {
    co_return Error::cancelled("cancelled before a wait");
  }
  Waiter waiter{Timer(co_await asio::this_coro::executor, deadline)};
  const auto waiters = waiters_;
  waiters->list.push_back(&waiter);
  const Registration registration{waiters, &waiter};
  const auto [error] = co_await waiter.timer.wait();
  if (waiter.wake == Wake::notified) {
    co_return true;
  }
  if (!waiter.timer.is_due(error) || waiter.wake == Wake::destroyed) {
    co_return Error::cancelled("cancelled during a wait");
  }
  co_return false;
}

void Event::notify_all() {
  // Only those who wait now: a woken task may wait again at once.
  for (std::size_t n = waiters_->list.size(); n > 0 && !waiters_->list.empty(); --n) {
    waiters_->wake_front(Wake::notified);
  }
}

void Event::notify_one() {
  if (!waiters_->list.empty()) {
    waiters_->wake_front(Wake::notified);
  }
}

bool Event::has_waiters() const { return !waiters_->list.empty(); }

}  // namespace thaw::async
