// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/coarse_timer.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>
#include <map>

namespace thaw::net::detail {

namespace asio = boost::asio;

namespace {

// Lists of alarms are kept by time, so their number must not grow with what peers ask for: far
// times share a list, and very far ones are looked at again every hour.
constexpr Duration near = 60s;
constexpr Duration far_tick = 1s;
constexpr Duration farthest = 1h;

}  // namespace

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

  void list(Alarm& alarm) {
    const Instant now = monotonic_now();
    const Instant listed = std::min(alarm.when_, now + farthest);
    const Duration step = listed - now > near ? far_tick : tick;
    const auto steps = (listed.time_since_epoch() + step - Duration(1)) / step;
    const Instant rounded(steps * step);
    alarm.listed_ = listed;
    alarms[rounded].push_back(alarm);
    if (rounded < next) {
      wait_until(rounded);
    }
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
      if (alarm.when_ > now) {
        if (alarm.when_ != Instant::max()) {
          list(alarm);
        }
        continue;
      }
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
  // One that is put off, as each request does with its connection's, stays where it is listed and
  // is looked at then.
  if (alarm.is_linked() && alarm.listed_ <= when) {
    alarm.when_ = when;
    return;
  }
  alarm.disarm();
  if (when == Instant::max()) {
    return;
  }
  alarm.when_ = when;
  state_->list(alarm);
}

}  // namespace thaw::net::detail
