// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/coarse_timer.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <map>

namespace thaw::net::detail {

namespace asio = boost::asio;

// Shared with the pending wait: a loop may run its last callbacks after the server is gone.
struct CoarseTimer::State : std::enable_shared_from_this<CoarseTimer::State> {
  using Alarms = boost::intrusive::list<Alarm, boost::intrusive::constant_time_size<false>>;

  explicit State(async::Loop& loop) : timer(loop.context()) {}

  asio::steady_timer timer;
  std::map<Instant, Alarms> alarms;  // by time, rounded up to a tick
  Instant next = Instant::max();     // what `timer` waits for

  void wait_until(Instant when) {
    next = when;
    timer.expires_at(when);
    timer.async_wait([self = shared_from_this(), when](boost::system::error_code error) {
      if (!error && self->next == when) {
        self->ring();
      }
    });
  }

  void ring() {
    const Instant now = monotonic_now();
    next = Instant::max();
    while (!alarms.empty() && alarms.begin()->first <= now) {
      auto& due = alarms.begin()->second;
      if (due.empty()) {
        alarms.erase(alarms.begin());
        continue;
      }
      Alarm& alarm = due.front();
      due.pop_front();
      // A copy: the callback may destroy its alarm.
      const auto callback = alarm.ring;
      callback();
    }
    if (!alarms.empty() && alarms.begin()->first < next) {
      wait_until(alarms.begin()->first);
    }
  }
};

CoarseTimer::CoarseTimer(async::Loop& loop) : state_(std::make_shared<State>(loop)) {}

CoarseTimer::~CoarseTimer() {
  state_->alarms.clear();
  state_->next = Instant::max();
  state_->timer.cancel();
}

void CoarseTimer::arm(Alarm& alarm, Instant when) {
  alarm.disarm();
  if (when == Instant::max()) {
    return;
  }
  const auto ticks = (when.time_since_epoch() + tick - Duration(1)) / tick;
  const Instant rounded(ticks * tick);
  state_->alarms[rounded].push_back(alarm);
  if (rounded < state_->next) {
    state_->wait_until(rounded);
  }
}

}  // namespace thaw::net::detail
