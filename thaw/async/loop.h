// SPDX-License-Identifier: Apache-2.0
//
// Loop: one event loop, run by one thread. Every object belongs to one loop's thread, or is
// immutable. post() is the only member that other threads may call.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <optional>

#include "thaw/async/task.h"

namespace thaw::async {

class Loop {
 public:
  Loop() : context_(1), work_(context_.get_executor()) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(), also while there is nothing to do.
  void run();
  // Any thread. The loop returns from run() soon.
  void stop() { context_.stop(); }
  // Any thread. `work` runs later on the loop's thread.
  void post(std::function<void()> work);

  // Runs the loop until `task` has ended and returns its result: for main() and for tests.
  template <class T>
  Result<T> run_task(Task<T> task);

  boost::asio::io_context& context() { return context_; }

 private:
  void spawn(boost::asio::awaitable<void> body);

  boost::asio::io_context context_;
  // Always, not only during run(): a pool thread that gives up the last work of a context between
  // two runs would stop the second one.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
};

template <class T>
Result<T> Loop::run_task(Task<T> task) {
  std::optional<Result<T>> result;
  auto body = [](Task<T> inner, std::optional<Result<T>>& out,
                 Loop& loop) -> boost::asio::awaitable<void> {
    out.emplace(co_await std::move(inner));
    loop.stop();
  };
  context_.restart();
  spawn(body(std::move(task), result, *this));
  run();
  context_.restart();
  if (!result) {
    return Error::cancelled("the loop was stopped before the task ended");
  }
  return std::move(*result);
}

}  // namespace thaw::async
