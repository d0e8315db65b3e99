// SPDX-License-Identifier: Apache-2.0
// Taking memory snapshots: a container in the background, stopped at its snapshot point and
// written to disk. It belongs to no pool, gets no inputs, and nobody waits for it.
#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/control/fleet.h"

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
async::Task<void> Fleet::wait_for_quiet(Fleet& fleet) {
  const auto is_at_work = [](const auto& entry) {
    return !entry.second->idle() && !entry.second->stopping();
  };
  const Instant no_longer = monotonic_now() + 10s;
  do {
    THAW_CO_TRY_VOID(co_await async::sleep_for(200ms));
  } while (monotonic_now() < no_longer &&
           std::any_of(fleet.containers_.begin(), fleet.containers_.end(), is_at_work));
  co_return ok();
}

async::Task<void> Fleet::snapshot_loop(Fleet& fleet) {
  if (!fleet.snapshots_.enabled()) {
    co_return ok();
  }
  (void)co_await fleet.snapshots_.store().check_all();
  while (true) {
    THAW_CO_TRY(const Snapshots::Spec spec, co_await fleet.snapshots_.next());
    THAW_CO_TRY_VOID(co_await wait_for_quiet(fleet));
    const auto function = fleet.parts_.catalog.functions.find(spec->id.str());
    const auto live = function ? function->live() : nullptr;
    if (fleet.shutting_down_ || !live || live->version != spec->version) {
      fleet.snapshots_.refused(spec);
      continue;
    }
    auto container = std::make_shared<Container>();
    container->id = model::ContainerId(codec::random_container_id());
    container->spec = spec;
    container->created_at = wall_now();
    container->for_snapshot = true;
    fleet.containers_[container->id] = container;
    const Result<void> outcome = co_await take_snapshot(fleet, container);
    if (container->running) {
      (void)co_await container->running->remove();
    }
    fleet.containers_.erase(container->id);
    fleet.container_ended_.notify_all();
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("no more snapshots are taken");
    }
    if (outcome) {
      fleet.snapshots_.taken(spec);
      fleet.parts_.measurements.forgive(spec->version, model::Level::restored);
      continue;
    }
    fleet.snapshots_.refused(spec);
    logs::Line line;
    line.time = wall_now();
    line.channel = logs::Channel::info;
    line.container = container->id.str();
    line.function = spec->id.str();
    line.text = "thaw: no memory snapshot of " + spec->name + ": " + outcome.error().to_string() +
                "; it starts without one\n";
    fleet.parts_.logs.append(spec->app.str(), std::move(line));
    log_warning("no snapshot", {{"function", spec->name}, {"reason", outcome.error().to_string()}});
  }
}

// What was retired while a container stood on it, and what nobody has used for long.
async::Task<void> Fleet::collect_loop(Fleet& fleet) {
  if (!fleet.snapshots_.enabled()) {
    co_return ok();
  }
  std::function<async::Task<void>()> collect = [&fleet] {
    return fleet.snapshots_.store().collect();
  };
  co_return co_await async::every(collect_pause, "old snapshots", std::move(collect));
}

async::Task<void> Fleet::take_snapshot(Fleet& fleet, ContainerPtr container) {
  container->moments.launching = monotonic_now();
  THAW_CO_TRY(worker::LaunchPlan plan, co_await fleet.plan_for(container));
  if (!plan.snapshot_point) {
    co_return Error::failed_precondition("its program has no snapshot point");
  }
  snapshot::SnapshotStore& store = fleet.snapshots_.store();
  const snapshot::SnapshotKey key = Snapshots::key_of(*container->spec, plan);
  THAW_CO_TRY(const std::string staging, store.begin(reserve_bytes));
  plan.upper = staging;
  plan.levels = {model::Level::booted};
  auto launched = co_await fleet.parts_.worker.launch(std::move(plan));
  Result<sandbox::Checkpoint> written = Error::internal("not launched");
  if (launched) {
    container->running = std::move(*launched);
    written = co_await write_snapshot(fleet, container, staging + "/images");
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
  if (container->stop_reason == StopReason::app_stopped) {
    store.retire(*kept, "its function is gone");
    kept.reset();
    THAW_CO_TRY_VOID(co_await store.collect());
    co_return Error::failed_precondition("its function is gone");
  }
  log_info("snapshot taken", {{"function", container->spec->name},
                              {"snapshot", kept->id.substr(0, 12)},
                              {"mb", std::to_string(kept->bytes >> 20)},
                              {"ms", std::to_string(static_cast<int>(
                                         to_ms(monotonic_now() - container->moments.launching)))}});
  co_return ok();
}

async::Task<sandbox::Checkpoint> Fleet::write_snapshot(Fleet& fleet, ContainerPtr container,
                                                       std::string images) {
  const Instant give_up = monotonic_now() + container->spec->startup_timeout;
  while (!container->at_snapshot_point) {
    if (!container->failure.empty()) {
      co_return Error::failed_precondition("its start failed");
    }
    if (container->running->sandbox().has_ended()) {
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
  const std::uint64_t memory = container->running->sandbox().memory_bytes();
  THAW_CO_TRY(const std::string probe, fleet.snapshots_.store().begin(memory));
  (void)co_await fleet.snapshots_.store().abandon(probe);
  THAW_CO_TRY_VOID(co_await wait_for_close(*container->running,
                                           std::min(give_up, monotonic_now() + close_patience)));
  co_return co_await container->running->sandbox().checkpoint(std::move(images),
                                                              2 * memory + reserve_bytes);
}

void Fleet::reached_snapshot_point(const model::ContainerId& id) {
  if (const ContainerPtr container = find(id); container && container->for_snapshot) {
    container->at_snapshot_point = true;
    container->wake.notify_all();
  }
}

}  // namespace thaw::control
