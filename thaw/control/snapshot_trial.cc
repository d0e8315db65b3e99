// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshot_trial.h"

#include <string>
#include <utility>

#include "thaw/async/within.h"
#include "thaw/control/restored_server.h"

namespace thaw::control {

namespace {

// What a restore breaks shows soon: memory is given back, timers fall due.
constexpr Duration a_moment = 300ms;

async::Task<void> until_ready(ContainerPtr container) {
  worker::ServerPort& server = *container->running->server();
  const Result<void> ready = co_await async::within(restored_patience, server.until_ready());
  if (ready || ready.error().code() == Code::cancelled) {
    co_return ready;
  }
  co_return Error::failed_precondition(
      ready.error().code() == Code::deadline_exceeded
          ? "a restored server was not ready in time; " + server.last_look()
          : "a restored server was not ready: " + ready.error().message());
}

async::Task<Duration> launch_and_look(SnapshotTrialParts parts, ContainerPtr container,
                                      snapshot::SnapshotPtr written) {
  const Instant launching = monotonic_now();
  container->start.moments.launching = launching;
  THAW_CO_TRY(worker::LaunchPlan plan, co_await parts.plans.plan_for(container));
  plan.purpose = worker::LaunchPlan::Purpose::serve;
  plan.levels = {model::Level::restored};
  plan.restore = written->id;
  auto launched = co_await parts.worker.launch(std::move(plan));
  if (!launched && launched.error().code() == Code::failed_precondition) {
    co_return Error::failed_precondition("what was written cannot be restored: " +
                                         launched.error().message());
  }
  if (!launched) {
    co_return launched.error();
  }
  container->running = std::move(*launched);
  container->start.level = container->running->level();
  THAW_CO_TRY_VOID(co_await until_ready(container));
  const Duration taken = monotonic_now() - launching;
  container->start.at_snapshot_point = true;
  THAW_CO_TRY_VOID(co_await tell_restored(container));
  THAW_CO_TRY_VOID(co_await async::sleep_for(a_moment));
  THAW_CO_TRY_VOID(co_await until_ready(container));
  co_return taken;
}

}  // namespace

async::Task<Duration> try_restore(SnapshotTrialParts parts, Snapshots::Spec spec,
                                  snapshot::SnapshotPtr written) {
  const ContainerPtr container = parts.pools.add_for_snapshot(std::move(spec));
  Result<Duration> taken = co_await launch_and_look(parts, container, std::move(written));
  if (container->running) {
    (void)co_await container->running->remove();
    container->running.reset();
  }
  parts.pools.remove(*container);
  parts.pools.look_at_who_waits();
  parts.pools.tell_end();
  if (container->ending.reason == StopReason::made_room) {
    co_return Error::aborted("a call needed the place in which it was tried");
  }
  if (taken && container->stopping()) {
    co_return Error::failed_precondition("it is to end");
  }
  co_return taken;
}

}  // namespace thaw::control
