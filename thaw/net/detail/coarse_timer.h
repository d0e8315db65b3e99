// SPDX-License-Identifier: Apache-2.0
//
// CoarseTimer: all deadlines of one server behind one Asio timer. An alarm fires at its time or up
// to one tick (50 ms; a second for one that was armed over a minute ahead) later, on the loop's
// thread; arming and disarming cost a list operation, so each request may have one. An Alarm
// disarms itself when destroyed, and may arm again, or destroy itself, inside its own callback.
#pragma once

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/intrusive/list_hook.hpp>
#include <functional>
#include <memory>

#include "thaw/async/loop.h"
#include "thaw/base/time.h"

namespace thaw::net::detail {

class CoarseTimer {
 public:
  static constexpr Duration tick = 50ms;

  class Alarm : public boost::intrusive::list_base_hook<
                    boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
   public:
    Alarm() = default;
    explicit Alarm(std::function<void()> ring) : ring(std::move(ring)) {}
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    void disarm() { unlink(); }
    bool armed() const { return is_linked() && when_ != Instant::max(); }

    std::function<void()> ring;

   private:
    friend class CoarseTimer;
    Instant when_;
    Instant listed_;  // where it is looked at; no later than `when_`

    void unlink() {
      if (is_linked()) {
        boost::intrusive::list_base_hook<
            boost::intrusive::link_mode<boost::intrusive::auto_unlink>>::unlink();
      }
    }
  };

  explicit CoarseTimer(async::Loop& loop);
  ~CoarseTimer();
  CoarseTimer(const CoarseTimer&) = delete;
  CoarseTimer& operator=(const CoarseTimer&) = delete;

  // Replaces the time of an armed alarm. Instant::max() disarms it.
  void arm(Alarm& alarm, Instant when);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace thaw::net::detail
