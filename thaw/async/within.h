// SPDX-License-Identifier: Apache-2.0
//
// within(limit, task): the task's own result, or deadline_exceeded once it has taken longer; then
// it is cancelled, and has ended when this returns. Asks for a timer each time: for waits on a peer
// that may never speak again, not for what is done often.
#pragma once

#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/this_coro.hpp>

#include "thaw/async/task.h"

namespace thaw::async {

namespace detail {

template <class T>
Task<T> without_throwing(Task<T> task) {
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  co_return co_await std::move(task);
}

}  // namespace detail

template <class T>
Task<T> within(Duration limit, Task<T> task) {
  using namespace boost::asio::experimental::awaitable_operators;
  std::variant<Result<T>, Result<void>> first = co_await (
      detail::without_throwing(std::move(task)) || detail::without_throwing(sleep_for(limit)));
  if (first.index() == 0) {
    co_return std::get<0>(std::move(first));
  }
  if (!std::get<1>(first)) {
    co_return std::get<1>(first).error();
  }
  co_return Error::deadline_exceeded("nothing came for " +
                                     std::to_string(static_cast<int>(to_seconds(limit))) + " s");
}

}  // namespace thaw::async
