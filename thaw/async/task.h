// SPDX-License-Identifier: Apache-2.0
//
// Task<T>: a coroutine that ends in Result<T>. It runs on the loop of whoever awaits it and does
// nothing until awaited or started in a TaskGroup. Parameters are values, or references to objects
// that outlive the task's group. Cancellation arrives as Error::cancelled from Event::wait,
// sleep_until and the socket operations of net/, never as an exception.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "thaw/base/result.h"
#include "thaw/base/time.h"

namespace thaw::async {

template <class T>
using Task = boost::asio::awaitable<Result<T>>;

// True once the current task was cancelled. Never throws, never suspends for long.
boost::asio::awaitable<bool> is_cancelled();

// Forgets a cancellation that has arrived, so that clean-up code may wait again.
boost::asio::awaitable<void> forget_cancellation();

// Suspends until `when`; Error::cancelled if the task is cancelled first.
Task<void> sleep_until(Instant when);
Task<void> sleep_for(Duration duration);

// Lets other ready tasks of this loop run once.
Task<void> yield();

}  // namespace thaw::async
