// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/ports.h"

#include <utility>

#include "thaw/base/check.h"
#include "thaw/control/metering.h"

namespace thaw::control {

namespace {

// In the words of outcomes.
std::string_view use_name(PortUse use) {
  switch (use) {
    case PortUse::answered: return model::outcome_name(model::OutcomeKind::success);
    case PortUse::timed_out: return model::outcome_name(model::OutcomeKind::timeout);
    case PortUse::broken_off: return "broken_off";
  }
  return "broken_off";
}

}  // namespace

std::optional<PortLease> Ports::try_lease(const model::Target& target, const PortAsker& asker) {
  Pool& pool = pools_.of(target);
  keep_alive_.note_arrival(pool);
  return free_port(pool, asker);
}

std::optional<PortLease> Ports::free_port(Pool& pool, const PortAsker& asker) {
  ContainerPtr chosen;  // a frozen one only if all are
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = pools_.find(id);
    if (container->start.reached_ready && !container->stopping() &&
        container->status != Status::stopped && container->running && free_slots(*container) > 0 &&
        (!chosen || chosen->freezing.state == Freezing::State::yes)) {
      chosen = container;
    }
  }
  if (!chosen) {
    return std::nullopt;
  }
  const model::Level level = pools_.awaken(*chosen);
  ++chosen->work.proxied;
  const Duration waited = monotonic_now() - asker.asked;
  const std::uint64_t line = pools_.metering().begin(*chosen, asker.token, level, waited);
  pools_.update(*chosen);
  const auto& push = chosen->spec->push;
  PortLease lease{chosen->id, chosen->running->address()};
  if (push) {
    lease.port = push->port;
    lease.wire = push->wire;
  }
  lease.level = level;
  lease.version = chosen->spec->version;
  lease.line = line;
  return lease;
}

std::size_t Ports::waiters_of(const model::FunctionId& function) const {
  std::size_t waiters = 0;
  for (const PoolPtr& pool : pools_.of_function(function)) {
    waiters += pool->port_waiters;
  }
  return waiters;
}

async::Task<PortAnswer> Ports::lease(model::Target target, Instant deadline, PortAsker asker) {
  const PoolPtr pool = pools_.shared(target);
  const std::uint64_t verdicts_before = pool->start_verdicts;
  if (const std::size_t waiters = waiters_of(target.function); waiters >= most_waiters_) {
    co_return Error::resource_exhausted(std::to_string(waiters) +
                                        " requests wait for a container already");
  }
  while (true) {
    if (const std::optional<PortLease> free = free_port(*pool, asker)) {
      co_return PortAnswer(*free);
    }
    if (pool->demanded == Instant{}) {
      pool->demanded = monotonic_now();
    }
    ++pool->port_waiters;
    pools_.looks().want_now(target);
    const Result<bool> notified = co_await pool->port_ready.wait(deadline);
    --pool->port_waiters;
    if (!notified) {
      pool->port_ready.notify_one();  // whom it was to wake, if it was to wake this one
      if (pools_.shutting_down()) {
        co_return Error::unavailable("the server is stopping");
      }
      co_return notified.error();
    }
    if (!*notified) {
      co_return Error::deadline_exceeded(
          "no container of the function was ready in time; see `thaw logs --starts`");
    }
    if (pool->stopped) {
      co_return Error::unavailable("the app was stopped");
    }
    if (pools_.shutting_down()) {
      co_return Error::unavailable("the server is stopping");
    }
    if (pool->start_verdicts != verdicts_before) {
      // Not when no container is left: another request's next try may have begun meanwhile.
      co_return PortAnswer(pool->last_verdict);
    }
  }
}

void Ports::give_back(const PortLease& lease, PortUse use) {
  const ContainerPtr container = pools_.find(lease.container);
  ++counters_.answers[lease.level];
  if (!container) {
    return;
  }
  THAW_CHECK(container->work.proxied > 0);
  pools_.metering().end(*container, lease.line, {.outcome = use_name(use)});
  --container->work.proxied;
  if (container->work.proxied == 0 || container->spec->push) {
    container->wake
        .notify_all();  // the poll of one that stops ends; of a server, it has room again
  }
  ++container->work.calls_served;
  container->work.answers += use == PortUse::answered ? 1 : 0;
  container->work.passages_timed_out += use == PortUse::timed_out ? 1 : 0;
  container->work.idle_since = monotonic_now();
  if (container->start.moments.first_output == Instant{}) {
    container->start.moments.first_output = container->work.idle_since;
  }
  pools_.update(*container);
  Pool& pool = pools_.of(container->target);
  pool.load.note_end();
  keep_alive_.note_end(pool);
  pool.port_ready.notify_one();
}

}  // namespace thaw::control
