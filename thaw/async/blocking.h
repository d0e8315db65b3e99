// SPDX-License-Identifier: Apache-2.0
//
// Pool: a bounded set of threads for calls that block (mount, fsync, waitpid, hashing of large
// files). blocking(pool, f) runs f on a pool thread and resumes the task on its own loop; f returns
// Result<T>, touches no loop-owned object, and is not interrupted by cancellation.
#pragma once

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <memory>
#include <optional>

#include "thaw/async/task.h"

namespace thaw::async {

class Pool {
 public:
  explicit Pool(unsigned threads) : threads_(threads) {}
  boost::asio::thread_pool& threads() { return threads_; }
  // Waits for work that was started; call before the objects that the work uses go away.
  void join() { threads_.join(); }

 private:
  boost::asio::thread_pool threads_;
};

template <class F, class R = std::invoke_result_t<F>>
boost::asio::awaitable<R> blocking(Pool& pool, F function) {
  namespace asio = boost::asio;
  auto result = std::make_shared<std::optional<R>>();
  auto initiate = [&pool, result, f = std::move(function)](auto handler) mutable {
    auto guard = asio::make_work_guard(handler);
    asio::post(pool.threads(), [result, f = std::move(f), handler = std::move(handler),
                                guard = std::move(guard)]() mutable {
      result->emplace(f());
      asio::post(guard.get_executor(), std::move(handler));
    });
  };
  co_await asio::async_initiate<const asio::use_awaitable_t<>, void()>(std::move(initiate),
                                                                       asio::use_awaitable);
  co_return std::move(**result);
}

}  // namespace thaw::async
