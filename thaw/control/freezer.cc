// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/freezer.h"

#include <algorithm>
#include <csignal>

#include "thaw/base/log.h"

namespace thaw::control {

namespace {

constexpr Duration relief_pause = 1s;
constexpr int longest_retry = 16;

bool is_at_rest_now(const Container& container) {
  return is_at_rest(container, container.running->traffic()) && !container.running->has_unread();
}

}  // namespace

bool is_at_rest(const Container& container, const worker::Traffic& traffic) {
  if (container.spec->push) {
    return container.idle() && !container.stopping() && traffic.connections == 0 &&
           traffic.wire == worker::Traffic::Wire::quiet;
  }
  return container.idle() && !container.stopping() && container.work.parked_polls > 0 &&
         traffic.exchanges == container.work.parked_polls &&
         traffic.wire == worker::Traffic::Wire::quiet;
}

Freezer::Freezer(FreezerParts parts, FreezerOptions options)
    : parts_(std::move(parts)), options_(options), tasks_(parts_.loop) {}

void Freezer::start() {
  if (options_.use == FreezerOptions::Use::on) {
    tasks_.start("freezer", watch_loop(*this));
  }
}

async::Task<void> Freezer::stop() {
  co_await async::forget_cancellation();
  co_return co_await tasks_.stop();
}

// A function that wants warm containers has a reason; a window that ends at once is not worth it.
bool Freezer::freezes(const Container& container) const {
  const model::Scaling& scaling = container.spec->scaling;
  return options_.use == FreezerOptions::Use::on &&
         scaling.freezing == model::Scaling::Freezing::allowed &&
         (container.stands_by ||
          (scaling.min_containers == 0 && options_.after < scaling.scaledown_window));
}

Duration Freezer::after(const Container& container) const {
  return container.stands_by ? Duration::zero() : options_.after;
}

void Freezer::watch(Container& container) {
  if (!container.freezing.is_watched && freezes(container)) {
    look_at(container.shared_from_this(), container.work.idle_since + after(container));
  }
}

void Freezer::look_at(const ContainerPtr& container, Instant when) {
  container->freezing.is_watched = true;
  const bool first = due_.empty() || when < due_.begin()->first;
  due_.emplace(when, container);
  if (first) {
    due_changed_.notify_all();
  }
}

// A look costs something, and a container that is never quiet would be looked at for ever.
void Freezer::look_again(const ContainerPtr& container) {
  Duration& pause = container->freezing.retry;
  pause = std::clamp<Duration>(pause * 2, options_.retry, options_.retry * longest_retry);
  look_at(container, monotonic_now() + pause);
}

async::Task<void> Freezer::watch_loop(Freezer& freezer) {
  while (true) {
    const Instant now = monotonic_now();
    while (!freezer.due_.empty() && freezer.due_.begin()->first <= now) {
      const ContainerPtr container = freezer.due_.begin()->second.lock();
      freezer.due_.erase(freezer.due_.begin());
      if (container) {
        freezer.consider(container, now);
      }
    }
    Instant next = freezer.due_.empty() ? Instant::max() : freezer.due_.begin()->first;
    if (!freezer.frozen_.empty()) {
      freezer.relieve(now);
      next = std::min(next, freezer.next_relief_);
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await freezer.due_changed_.wait(next));
  }
}

void Freezer::consider(const ContainerPtr& container, Instant now) {
  container->freezing.is_watched = false;
  if (!container->idle() || container->stopping() || !container->running ||
      container->freezing.state != Freezing::State::no) {
    return;  // watched again when it becomes idle
  }
  const Instant due = container->work.idle_since + after(*container);
  if (now < due) {
    container->freezing.retry = {};
    look_at(container, due);
    return;
  }
  if (worker::ServerPort* server = container->running->server()) {
    server->close_kept();  // its end of them is closed by the next look
  }
  if (!is_at_rest_now(*container)) {
    look_again(container);
  } else {
    tasks_.start("freeze", freeze(*this, container));
  }
}

async::Task<void> Freezer::freeze(Freezer& freezer, ContainerPtr container) {
  container->freezing.state = Freezing::State::freezing;
  const std::uint64_t mine = ++container->freezing.count;
  const Result<void> frozen = co_await container->running->freeze();
  if (container->freezing.count != mine) {
    ++freezer.counters_.abandoned;  // whoever thawed it goes on from here
    co_return ok();
  }
  if (!frozen) {
    freezer.give_up(container, frozen.error());
    co_return ok();
  }
  if (!is_at_rest_now(*container)) {
    ++freezer.counters_.abandoned;
    freezer.run_on(*container);
    freezer.look_again(container);
    co_return ok();
  }
  container->freezing.state = Freezing::State::yes;
  container->freezing.is_reclaimed = false;
  container->freezing.retry = {};
  ++freezer.counters_.freezes;
  freezer.frozen_[container->id] = container;
  freezer.due_changed_.notify_all();  // memory is looked at from now on
  freezer.parts_.changed(*container);
  co_return ok();
}

void Freezer::give_up(const ContainerPtr& container, const Error& why) {
  ++counters_.failures;
  run_on(*container);
  if (why.code() == Code::failed_precondition) {
    options_.use = FreezerOptions::Use::off;
    log_warning("idle containers are not frozen", {{"reason", why.to_string()}});
    return;
  }
  log_info("a container was not frozen",
           {{"container", container->id.str()}, {"reason", why.to_string()}});
  look_at(container, monotonic_now() + std::max<Duration>(options_.retry, 1s));
}

// A poll that outlived its time meanwhile answers now.
void Freezer::run_on(Container& container) {
  container.freezing.state = Freezing::State::no;
  ++container.freezing.count;
  if (const Result<void> thawed = container.running->thaw(); !thawed) {
    log_error("a frozen container cannot be thawed and is ended",
              {{"container", container.id.str()}, {"error", thawed.error().to_string()}});
    (void)container.running->signal(SIGKILL);
  }
  container.wake.notify_all();
}

Freezer::Found Freezer::thaw(Container& container) {
  if (container.freezing.state == Freezing::State::no) {
    return Found::running;
  }
  const bool was_frozen = container.freezing.state == Freezing::State::yes;
  const Instant begun = monotonic_now();
  run_on(container);
  if (!was_frozen) {
    return Found::running;
  }
  container.freezing.thaw_time = monotonic_now() - begun;
  ++counters_.thaws;
  counters_.thaw_time += container.freezing.thaw_time;
  counters_.longest_thaw = std::max(counters_.longest_thaw, container.freezing.thaw_time);
  frozen_.erase(container.id);
  parts_.changed(container);
  return Found::frozen;
}

void Freezer::forget(Container& container) {
  ++container.freezing.count;
  container.freezing.state = Freezing::State::no;
  frozen_.erase(container.id);
}

// Of what is frozen longest first, one at a time, each once.
void Freezer::relieve(Instant now) {
  if (now < next_relief_) {
    return;
  }
  next_relief_ = now + relief_pause;
  if (reclaiming_) {
    return;
  }
  const worker::MachineMemory memory = parts_.memory();
  if (memory.swap_free_bytes == 0) {
    if (!std::exchange(said_no_swap_, true)) {
      log_info("this machine has no swap and no zram: frozen containers keep their memory", {});
    }
    return;
  }
  const double available = 100.0 * static_cast<double>(memory.available_bytes);
  if (available >= options_.short_of_memory * static_cast<double>(memory.total_bytes)) {
    return;
  }
  ContainerPtr longest;
  for (const auto& [id, container] : frozen_) {
    if (!container->freezing.is_reclaimed &&
        (!longest || container->work.idle_since < longest->work.idle_since)) {
      longest = container;
    }
  }
  if (longest) {
    reclaiming_ = true;
    tasks_.start("reclaim", reclaim(*this, longest));
  }
}

async::Task<void> Freezer::reclaim(Freezer& freezer, ContainerPtr container) {
  container->freezing.is_reclaimed = true;
  const Result<std::uint64_t> bytes = co_await container->running->reclaim();
  freezer.reclaiming_ = false;
  if (bytes) {
    freezer.counters_.reclaimed_bytes += *bytes;
    log_info("memory of a frozen container was paged out",
             {{"container", container->id.str()}, {"bytes", std::to_string(*bytes)}});
    freezer.next_relief_ = Instant{};
    freezer.due_changed_.notify_all();
  }
  co_return ok();
}

}  // namespace thaw::control
