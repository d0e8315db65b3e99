// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/loop.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>

#include "thaw/base/log.h"

namespace thaw::async {

namespace asio = boost::asio;

void Loop::run() { context_.run(); }

void Loop::post(std::function<void()> work) { asio::post(context_, std::move(work)); }

void Loop::spawn(asio::awaitable<void> body) {
  asio::co_spawn(context_, std::move(body), [](const std::exception_ptr& failure) {
    if (failure) {
      std::rethrow_exception(failure);
    }
  });
}

}  // namespace thaw::async
