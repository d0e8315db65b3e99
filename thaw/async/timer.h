// SPDX-License-Identifier: Apache-2.0
//
// Timer: one wait for a moment, of the task that has it. Internal to async; everything else waits
// by sleep_until() and Event. It follows the thread's time, real or virtual.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <tuple>

#include "thaw/async/virtual_time.h"
#include "thaw/base/time.h"

namespace thaw::async {

class Timer {
 public:
  Timer(const boost::asio::any_io_executor& executor, Instant when);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  // Ends when it is due, by cancel(), or with the task: is_due() tells. No coroutine of its own,
  // which every wait would pay for.
  boost::asio::awaitable<std::tuple<boost::system::error_code>> wait() {
    return timer_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
  bool is_due(const boost::system::error_code& error) const { return !error || due_; }
  void cancel() { timer_.cancel(); }

 private:
  boost::asio::steady_timer timer_;
  bool due_ = false;
  std::optional<VirtualTime::Key> key_;  // while it waits in virtual time
};

}  // namespace thaw::async
