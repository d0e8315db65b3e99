// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshot_taker.h"

#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/control/container_log.h"

namespace thaw::control {

namespace {

constexpr std::uint64_t reserve_bytes = 256u << 20;
constexpr Duration collect_pause = 60s;
// Far longer than closing a connection takes. A program that made one of its own, or a child that
// it has forked by hand, may hold one for ever, and other snapshots wait meanwhile.
constexpr Duration close_patience = 10s;

// The program closes its connection after it was told that all is ready: a connection to the
// outside cannot be written. What else it holds that cannot does not go away by waiting.
async::Task<void> wait_for_close(const worker::RunningContainer& container, Instant give_up) {
  while (container.traffic().connections > 0) {
    if (monotonic_now() > give_up) {
      co_return Error::deadline_exceeded(
          "a connection to this server was not closed at its snapshot point: its program, or a "
          "child "
          "that it forked, holds one");
    }
    THAW_CO_TRY_VOID(co_await async::sleep_for(5ms));
  }
  co_return ok();
}

}  // namespace

// Whoever calls has the machine first; on one that is always busy it is taken all the same.
async::Task<void> SnapshotTaker::wait_for_quiet(const Pools& pools) {
  const auto is_at_work = [](const auto& entry) {
    return !entry.second->idle() && !entry.second->stopping();
  };
  const Instant no_longer = monotonic_now() + 10s;
  do {
    THAW_CO_TRY_VOID(co_await async::sleep_for(200ms));
  } while (monotonic_now() < no_longer &&
           std::any_of(pools.containers().begin(), pools.containers().end(), is_at_work));
  co_return ok();
}

async::Task<void> SnapshotTaker::take_loop(SnapshotTaker& self) {
  if (!self.parts_.snapshots.enabled()) {
    co_return ok();
  }
  (void)co_await self.parts_.snapshots.store().check_all();
  while (true) {
    THAW_CO_TRY(const Snapshots::Spec spec, co_await self.parts_.snapshots.next());
    THAW_CO_TRY_VOID(co_await wait_for_quiet(self.parts_.pools));
    const auto function = self.parts_.catalog.functions.find(spec->id.str());
    const auto live = function ? function->live() : nullptr;
    if (self.parts_.pools.shutting_down() || !live || live->version != spec->version) {
      self.parts_.snapshots.refused(spec);
      continue;
    }
    const ContainerPtr container = self.parts_.pools.add_for_snapshot(spec);
    const Result<void> outcome = co_await take(self, container);
    if (container->running) {
      (void)co_await container->running->remove();
    }
    self.parts_.pools.remove(*container);
    self.parts_.pools.tell_end();
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("no more snapshots are taken");
    }
    if (outcome) {
      self.parts_.snapshots.taken(spec);
      self.parts_.measurements.forgive(spec->version, model::Level::restored);
      continue;
    }
    self.parts_.snapshots.refused(spec);
    say_in_log(self.parts_.logs, *container,
               "no memory snapshot of " + spec->name + ": " + outcome.error().to_string() +
                   "; it starts without one");
    log_warning("no snapshot", {{"function", spec->name}, {"reason", outcome.error().to_string()}});
  }
}

async::Task<void> SnapshotTaker::collect_loop(SnapshotTaker& self) {
  if (!self.parts_.snapshots.enabled()) {
    co_return ok();
  }
  std::function<async::Task<void>()> collect = [&self] {
    return self.parts_.snapshots.store().collect();
  };
  co_return co_await async::every(collect_pause, "old snapshots", std::move(collect));
}

async::Task<void> SnapshotTaker::take(SnapshotTaker& self, ContainerPtr container) {
  container->start.moments.launching = monotonic_now();
  THAW_CO_TRY(worker::LaunchPlan plan, co_await self.parts_.plans.plan_for(container));
  if (!plan.snapshot_point) {
    co_return Error::failed_precondition("its program has no snapshot point");
  }
  snapshot::SnapshotStore& store = self.parts_.snapshots.store();
  const snapshot::SnapshotKey key = Snapshots::key_of(*container->spec, plan);
  THAW_CO_TRY(const std::string staging, store.begin(reserve_bytes));
  plan.upper = staging;
  plan.levels = {model::Level::booted};
  auto launched = co_await self.parts_.worker.launch(std::move(plan));
  Result<sandbox::Checkpoint> written = Error::internal("not launched");
  if (launched) {
    container->running = std::move(*launched);
    written = co_await write(self, container, staging + "/images");
    // Its folder is tidied with its end; what it wrote stays in "upper".
    auto removed = co_await container->running->remove();
    container->running.reset();
    if (written && !removed) {
      written = removed.error();
    }
  } else {
    written = launched.error();
  }
  if (!written) {
    (void)co_await store.abandon(staging);
    co_return written.error();
  }
  THAW_CO_TRY(snapshot::SnapshotPtr kept, co_await store.commit(staging, key, *written));
  if (container->ending.reason == StopReason::app_stopped) {
    store.retire(*kept, "its function is gone");
    kept.reset();
    THAW_CO_TRY_VOID(co_await store.collect());
    co_return Error::failed_precondition("its function is gone");
  }
  log_info("snapshot taken", {{"function", container->spec->name},
                              {"snapshot", kept->id.substr(0, 12)},
                              {"mb", std::to_string(kept->bytes >> 20)},
                              {"ms", std::to_string(static_cast<int>(to_ms(
                                         monotonic_now() - container->start.moments.launching)))}});
  co_return ok();
}

async::Task<sandbox::Checkpoint> SnapshotTaker::write(SnapshotTaker& self, ContainerPtr container,
                                                      std::string images) {
  const Instant give_up = monotonic_now() + container->spec->startup_timeout;
  while (!container->start.at_snapshot_point) {
    if (container->start.failure) {
      co_return Error::failed_precondition("its start failed");
    }
    if (container->running->has_ended()) {
      co_return Error::failed_precondition("its container ended before its snapshot point");
    }
    if (monotonic_now() > give_up || container->stopping()) {
      co_return Error::deadline_exceeded("it did not reach its snapshot point in time");
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await container->wake.wait(monotonic_now() + 250ms));
  }
  if (!container->running->is_restorable()) {
    co_return Error::failed_precondition(
        "its image has a sitecustomize module that hides the one that renews random numbers after "
        "a restore");
  }
  // Room for what it has in memory, and twice that for what it may come to while it is written.
  const std::uint64_t memory = container->running->memory_bytes();
  THAW_CO_TRY(const std::string probe, self.parts_.snapshots.store().begin(memory));
  (void)co_await self.parts_.snapshots.store().abandon(probe);
  THAW_CO_TRY_VOID(co_await wait_for_close(*container->running,
                                           std::min(give_up, monotonic_now() + close_patience)));
  co_return co_await container->running->checkpoint(std::move(images), 2 * memory + reserve_bytes);
}

void SnapshotTaker::reached_point(const model::ContainerId& id) {
  if (const ContainerPtr container = parts_.pools.find(id); container && container->for_snapshot) {
    container->start.at_snapshot_point = true;
    container->wake.notify_all();
  }
}

}  // namespace thaw::control
