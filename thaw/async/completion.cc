// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/completion.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace thaw::async {

namespace asio = boost::asio;

struct Completion::State {
  bool done = false;
  asio::steady_timer* timer = nullptr;  // in the frame of the waiting task
};

Completion::Completion() : state_(std::make_shared<State>()) {}

Completion::~Completion() { complete(); }

void Completion::complete() {
  state_->done = true;
  if (state_->timer != nullptr) {
    state_->timer->cancel();
  }
}

bool Completion::done() const { return state_->done; }

asio::awaitable<void> Completion::wait() {
  const auto state = state_;
  asio::steady_timer timer(co_await asio::this_coro::executor);
  struct Registration {
    std::shared_ptr<State> state;
    ~Registration() { state->timer = nullptr; }
  };
  state->timer = &timer;
  const Registration registration{state};
  while (!state->done) {
    timer.expires_after(std::chrono::hours(24));
    // An empty cancellation slot: the wait is deaf to the task's cancellation.
    auto token = asio::bind_cancellation_slot(asio::cancellation_slot(),
                                              asio::as_tuple(asio::use_awaitable));
    [[maybe_unused]] const auto outcome = co_await timer.async_wait(std::move(token));
  }
}

}  // namespace thaw::async
