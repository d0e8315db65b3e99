// SPDX-License-Identifier: Apache-2.0
//
// blocking(pool, f) runs f on a thread of the pool (pool.h) and resumes the task on its own loop; f
// returns Result<T>, touches no loop-owned object, and is not interrupted by cancellation. In
// virtual time it runs on the loop's own thread, half of the time that it takes before its end and
// half of it after.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>

#include "thaw/async/pool.h"
#include "thaw/async/task.h"
#include "thaw/async/virtual_time.h"

namespace thaw::async {

namespace detail {

template <class F>
class WorkOf final : public Pool::Work {
 public:
  explicit WorkOf(F function) : function_(std::move(function)) {}
  void run() override { function_(); }

 private:
  F function_;
};

}  // namespace detail

template <class F, class R = std::invoke_result_t<F>>
boost::asio::awaitable<R> blocking(PoolShare at, F function) {
  namespace asio = boost::asio;
  if (VirtualTime::of_thread() != nullptr) {
    co_await VirtualTime::work();
    R outcome = function();
    co_await VirtualTime::work();
    co_return outcome;
  }
  auto result = std::make_shared<std::optional<R>>();
  auto initiate = [at = std::move(at), result, f = std::move(function)](auto handler) mutable {
    auto guard = asio::make_work_guard(handler);
    auto work = [result, f = std::move(f), handler = std::move(handler),
                 guard = std::move(guard)]() mutable {
      result->emplace(f());
      asio::post(guard.get_executor(), std::move(handler));
    };
    at.pool.post(at.share, std::make_unique<detail::WorkOf<decltype(work)>>(std::move(work)));
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate),
                                                                       asio::use_awaitable);
  co_return std::move(**result);
}

// The server's own work.
template <class F, class R = std::invoke_result_t<F>>
boost::asio::awaitable<R> blocking(Pool& pool, F function) {
  return blocking(PoolShare{pool, {}}, std::move(function));
}

}  // namespace thaw::async
