// SPDX-License-Identifier: Apache-2.0
#include "thaw/policy/pool_load.h"

#include <algorithm>

namespace thaw::policy {

namespace {

// A shorter moment says nothing: counters tick, and the first milliseconds are like no others.
constexpr Duration shortest_work = 40ms;
constexpr Duration shortest_start = 10ms;
constexpr Duration too_long = 3s;  // between two counts of calls
constexpr Duration first_moments = 500ms;
constexpr double pressed = 0.6;
constexpr Duration shortest_window = 80ms;
constexpr double least_step = 0.24;   // of more containers, to tell what they brought
constexpr double least_gain = 0.3;    // of what more containers would bring if nothing held them
constexpr Duration remembered = 30s;  // that more containers brought nothing

double got_in(Duration used, Duration wall) {
  return std::max(0.0, to_seconds(used) / to_seconds(wall));
}

}  // namespace

void PoolLoad::note_start(ContainerLoad& container, Instant began, Instant now, Duration used,
                          const MachineView& machine) {
  const Instant since = std::max(container.at, began);
  const Duration wall = now - since;
  if (wall < shortest_start) {
    return;
  }
  const Duration more = used - container.used;
  starting_.note(undisturbed_use(more, wall, machine.queueing, machine.cores), wall);
  container.got = got_in(more, wall);
  container.at = now;
  container.used = used;
}

void PoolLoad::note_ready(ContainerLoad& container, Instant now, Duration used) {
  container.at = now;
  container.ready = now;
  container.used = used;
  container.alone.reset();
  progress_ = now;
  // A far better level of start is seen before its first answer.
  if (used < price_ / 4) {
    price_ = (price_ + used) / 2;
  }
  is_window_ = false;
  window_ended_ = ended_;
  is_settled_ = false;
}

void PoolLoad::note_work(ContainerLoad& container, Instant now, Duration used,
                         const MachineView& machine) {
  if (container.at == Instant{}) {
    container.at = now;
    container.used = used;
    return;
  }
  const Duration wall = now - container.at;
  if (wall < shortest_work) {
    return;
  }
  const Duration more = used - container.used;
  const double use = undisturbed_use(more, wall, machine.queueing, machine.cores);
  if (now - container.ready < first_moments) {
    fresh_.note(use, wall);
  }
  container.alone = container.alone ? (*container.alone + use) / 2 : use;
  container.got = got_in(more, wall);
  container.at = now;
  container.used = used;
}

void PoolLoad::lapse(ContainerLoad& container) {
  container.at = {};
  container.got = 0;
}

// A better level of start shows at once, a dearer first call little by little.
void PoolLoad::note_price(Duration used) {
  price_ = price_ == Duration::zero() || used < price_ ? used : (price_ * 3 + used) / 4;
}

void PoolLoad::weigh(std::size_t running, Instant now) {
  const std::uint64_t ended = ended_ - window_ended_;
  if (running == 0 || (!is_window_ && ended < running)) {
    return;
  }
  if (is_window_ && (ended < 2 * running || now - window_at_ < shortest_window)) {
    return;
  }
  if (is_window_) {
    const double throughput = static_cast<double>(ended) / to_seconds(now - window_at_);
    const double more = static_cast<double>(running) / std::max(weighed_, 1.0) - 1;
    if (weighed_ > 0 && more >= least_step && throughput < throughput_ * (1 + least_gain * more)) {
      useless_since_ = now;
    } else if (weighed_ <= 0 || more >= least_step) {
      weighed_ = static_cast<double>(running);
      throughput_ = throughput;
    }
    is_settled_ = true;
  }
  is_window_ = true;
  window_at_ = now;
  window_ended_ = ended_;
}

void PoolLoad::rest() {
  weighed_ = 0;
  useless_since_ = {};
  is_window_ = false;
  window_ended_ = ended_;
}

void PoolLoad::count_calls(Instant now) {
  const Duration wall = now - counted_at_;
  if (wall <= Duration::zero()) {
    return;
  }
  const double rate = static_cast<double>(ended_ - counted_) / to_seconds(wall);
  calls_ =
      wall > too_long ? 0 : calls_ + (rate - calls_) * (1 - std::exp2(-to_seconds(wall) / 0.3));
  if (ended_ != counted_) {
    progress_ = now;
  }
  counted_ = ended_;
  counted_at_ = now;
}

void PoolLoad::add_running(const ContainerLoad& container) {
  sum_.used += container.got;
  sum_.demand += container.alone.value_or(0);
  sum_.unseen += container.alone ? 0 : 1;
}

ProcessorView PoolLoad::view(Instant now, const MachineView& machine, std::size_t rivals) const {
  ProcessorView view;
  if (machine.cores <= 0) {
    return view;
  }
  view.cores = cores_for({.cores = machine.cores,
                          .idle = machine.idle,
                          .used = sum_.used,
                          .outside = machine.outside,
                          .calls = calls_,
                          .rivals = rivals});
  view.even = machine.cores / static_cast<double>(1 + rivals);
  view.demand = sum_.demand;
  view.starting = starting_.mean();
  view.fresh = fresh_.mean();
  view.unseen = sum_.unseen;
  view.start_price = price_;
  view.is_settled = is_settled_;
  view.is_useless = useless_since_ != Instant{} && now - useless_since_ < remembered;
  view.is_pressed = machine.pressure > pressed;
  view.stalled = progress_ == Instant{} ? Duration::zero() : now - progress_;
  return view;
}

}  // namespace thaw::policy
