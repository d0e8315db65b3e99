// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/container_doors.h"

#include <utility>

#include "thaw/async/task_group.h"

namespace thaw::gateway {

using async::Task;

Task<void> ContainerDoors::serve(net::HttpExchange& exchange) const {
  DoorVisit visit;
  visit.container = model::ContainerId(exchange.request().peer.identity);
  THAW_CO_TRY(visit.spec, fleet_.spec_of(visit.container));
  THAW_CO_TRY(const Serve* serves, dialects_.of(*visit.spec));
  co_return co_await (*serves)(exchange, std::move(visit));
}

namespace {

// A poll and the watch whether its program is still there; the end of one ends the other.
class DoorPoll {
 public:
  DoorPoll(async::Loop& loop, control::Fleet& fleet, net::HttpExchange& exchange)
      : fleet_(fleet), exchange_(exchange), tasks_(loop) {}

  Task<control::Poll> run(model::ContainerId container, control::PollOptions options) {
    watch_ = tasks_.start("whether a container waits for its inputs", watch());
    if (!has_gone_) {
      poll_ = tasks_.start("a container's poll", poll(container, options));
    }
    const Result<bool> joined = co_await tasks_.join(Instant::max());
    co_await async::forget_cancellation();
    (void)co_await tasks_.stop();
    if (outcome_ && (has_gone_ || !joined)) {
      fleet_.take_back(container, std::move(outcome_->inputs));
      co_return Error::cancelled("the program that has polled is gone");
    }
    co_return std::move(outcome_);
  }

 private:
  Task<void> poll(model::ContainerId container, control::PollOptions options) {
    do {
      outcome_ = co_await fleet_.next_inputs(container, options);
    } while (outcome_ && outcome_->inputs.empty() && !outcome_->stop &&
             !co_await async::is_cancelled());
    watch_.cancel();
    co_return ok();
  }
  Task<void> watch() {
    THAW_CO_TRY_VOID(co_await exchange_.until_gone());
    has_gone_ = true;
    poll_.cancel();
    co_return ok();
  }

  control::Fleet& fleet_;
  net::HttpExchange& exchange_;
  Result<control::Poll> outcome_ = Error::cancelled("the program that has polled is gone");
  bool has_gone_ = false;
  async::TaskGroup::Handle poll_;
  async::TaskGroup::Handle watch_;
  async::TaskGroup tasks_;  // last: ended first
};

}  // namespace

Task<control::Poll> next_inputs(async::Loop& loop, control::Fleet& fleet,
                                net::HttpExchange& exchange, model::ContainerId container,
                                control::PollOptions options) {
  options.hold_until = Instant::max();  // as long as the program waits
  DoorPoll poll(loop, fleet, exchange);
  co_return co_await poll.run(std::move(container), options);
}

}  // namespace thaw::gateway
