// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/task.h"

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "thaw/async/timer.h"

namespace thaw::async {

namespace asio = boost::asio;

asio::awaitable<bool> is_cancelled() {
  const auto state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

asio::awaitable<void> forget_cancellation() {
  co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
}

Task<void> sleep_until(Instant when) {
  if (co_await is_cancelled()) {
    co_return Error::cancelled("cancelled before a sleep");
  }
  Timer timer(co_await asio::this_coro::executor, when);
  const auto [error] = co_await timer.wait();
  if (!timer.is_due(error)) {
    co_return Error::cancelled("cancelled during a sleep");
  }
  co_return ok();
}

Task<void> sleep_for(Duration duration) {
  co_return co_await sleep_until(monotonic_now() + duration);
}

Task<void> yield() {
  co_await asio::post(asio::use_awaitable);
  co_return ok();
}

}  // namespace thaw::async
