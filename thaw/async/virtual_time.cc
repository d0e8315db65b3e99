// SPDX-License-Identifier: Apache-2.0
#include "thaw/async/virtual_time.h"

#include <algorithm>

#include "thaw/async/completion.h"
#include "thaw/base/check.h"

namespace thaw::async {

namespace {

constinit thread_local VirtualTime* current = nullptr;

// 2030-01-01, and a machine that has been up for a day: zero means "never" in many places.
constexpr Duration first_instant = std::chrono::hours(24);
constexpr std::chrono::seconds first_wall(1'893'456'000);

}  // namespace

VirtualTime::VirtualTime() : now_(first_instant), wall_(first_wall), scope_(*this) {
  THAW_CHECK(current == nullptr);
  current = this;
}

VirtualTime::~VirtualTime() { current = nullptr; }

VirtualTime* VirtualTime::of_thread() { return current; }

void VirtualTime::jump_wall(Duration by) {
  wall_ += std::chrono::duration_cast<std::chrono::microseconds>(by);
}

VirtualTime::Key VirtualTime::add(Instant when, std::function<void()> due) {
  const Key key{when, ++added_};
  waits_.emplace(key, std::move(due));
  return key;
}

boost::asio::awaitable<void> VirtualTime::work() {
  Completion done;
  VirtualTime& time = *current;
  const Key key = time.add(time.now_ + time.work_time(), [&done] { done.complete(); });
  // The frame may go before, with the loop.
  struct TakenBack {
    Key key;
    ~TakenBack() {
      if (current != nullptr) {
        current->remove(key);
      }
    }
  } taken_back{key};
  co_await done.wait();
}

bool VirtualTime::run(Loop& loop, Instant until) {
  while (true) {
    loop.context().poll();
    if (loop.context().stopped()) {
      return false;
    }
    if (waits_.empty() || waits_.begin()->first.first > until) {
      wall_ += std::chrono::duration_cast<std::chrono::microseconds>(std::max(now_, until) - now_);
      now_ = std::max(now_, until);
      return true;
    }
    const Instant next = std::max(now_, waits_.begin()->first.first);
    wall_ += std::chrono::duration_cast<std::chrono::microseconds>(next - now_);
    now_ = next;
    const std::function<void()> due = std::move(waits_.begin()->second);
    waits_.erase(waits_.begin());
    due();
  }
}

}  // namespace thaw::async
