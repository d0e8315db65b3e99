// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/signals.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace thaw::async {

namespace asio = boost::asio;

Task<int> wait_for_signal(std::vector<int> numbers) {
  asio::signal_set signals(co_await asio::this_coro::executor);
  for (const int number : numbers) {
    boost::system::error_code error;
    signals.add(number, error);
    if (error) {
      co_return Error::internal("cannot watch signal " + std::to_string(number) + ": " +
                                error.message());
    }
  }
  const auto [error, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
  if (error) {
    co_return Error::cancelled("cancelled while it waited for a signal");
  }
  co_return number;
}

}  // namespace thaw::async
