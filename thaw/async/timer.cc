// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/timer.h"

#include <algorithm>

namespace thaw::async {

namespace asio = boost::asio;

namespace {

// Farther than that nobody waits; nearer than where a clock's count overflows.
constexpr auto for_ever = std::chrono::hours(24 * 365);

}  // namespace

Timer::Timer(const asio::any_io_executor& executor, Instant when) : timer_(executor) {
  VirtualTime* const time = VirtualTime::of_thread();
  if (time == nullptr) {
    timer_.expires_at(std::min(when, std::chrono::steady_clock::now() + for_ever));
    return;
  }
  timer_.expires_at(Instant::max());
  if (when < time->now() + for_ever) {
    key_ = time->add(when, [this] {
      key_.reset();
      due_ = true;
      timer_.cancel();
    });
  }
}

Timer::~Timer() {
  if (key_ && VirtualTime::of_thread() != nullptr) {
    VirtualTime::of_thread()->remove(*key_);
  }
}

}  // namespace thaw::async
