// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/snapshot_taker.h"

#include <algorithm>
#include <set>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/async/within.h"
#include "thaw/base/log.h"
#include "thaw/control/container_log.h"
#include "thaw/control/snapshot_trial.h"
#include "thaw/policy/levels.h"

namespace thaw::control {

namespace {

constexpr std::uint64_t reserve_bytes = 256u << 20;
constexpr Duration collect_pause = 60s;
// Far longer than closing a connection takes. A program that made one of its own, or a child that
// it has forked by hand, may hold one for ever, and other snapshots wait meanwhile.
constexpr Duration close_patience = 10s;
constexpr Duration ready_patience = 10min;
constexpr Duration settle_patience = 5s;
constexpr Duration settle_look = 200ms;
constexpr int most_trials = 3;

// Whoever needs its place, or has stopped its function, is not kept waiting.
bool is_given_up(const Container& container) {
  return container.stopping() || container.running->has_ended();
}

// The program closes its connection after it was told that all is ready: a connection to the
// outside cannot be written. Those at a door can: they are closed in what is restored. What else it
// holds that cannot does not go away by waiting.
async::Task<void> wait_for_close(ContainerPtr of, Duration patience) {
  const Instant give_up = monotonic_now() + patience;
  const worker::RunningContainer& container = *of->running;
  while (!is_given_up(*of) && !container.has_door() && container.traffic().connections > 0) {
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

// A server that is ready may have connections of ours, and be busy with what comes after: caches
// that fill, threads that start. What it has open after a while it has opened itself, to outside:
// such connections are closed for those that are restored.
async::Task<void> settle(ContainerPtr of) {
  worker::RunningContainer& container = *of->running;
  const Instant give_up = monotonic_now() + settle_patience;
  Duration used = container.processor_time();
  while (!is_given_up(*of) && monotonic_now() < give_up) {
    container.server()->close_kept();
    THAW_CO_TRY_VOID(co_await async::sleep_for(settle_look));
    const Duration before = std::exchange(used, container.processor_time());
    if (container.traffic().connections == 0 && used - before < settle_look / 10) {
      break;
    }
  }
  co_return ok();
}

bool is_at_ready(const Container& container) {
  return container.spec->snapshot_at == model::SnapshotAt::ready;
}

std::string in_ms(Duration time) { return std::to_string(static_cast<int>(to_ms(time))); }

Error no_gain(Duration booted, const std::string& but) {
  return Error::failed_precondition("it is ready " + in_ms(booted) + " ms after its start, " + but +
                                    ": that is no gain, and it is not tried again");
}

}  // namespace

bool SnapshotTaker::has_room() const {
  return parts_.pools.places_taken() < parts_.most_containers;
}

// Whoever calls has the machine first. On one that is always busy it is taken all the same, but in
// no place that somebody else has.
async::Task<void> SnapshotTaker::wait_for_quiet(SnapshotTaker& self, Snapshots::Spec spec) {
  Pools& pools = self.parts_.pools;
  const auto is_at_work = [](const auto& entry) {
    return !entry.second->idle() && !entry.second->stopping();
  };
  const Instant no_longer = monotonic_now() + 10s;
  do {
    THAW_CO_TRY_VOID(co_await async::sleep_for(200ms));
  } while (monotonic_now() < no_longer &&
           std::any_of(pools.containers().begin(), pools.containers().end(), is_at_work));
  // One of a function that is gone meanwhile is not to keep others from their turn.
  while (!self.has_room() && !pools.shutting_down() && self.is_called(*spec)) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await pools.wait_for_end(monotonic_now() + collect_pause));
    THAW_CO_TRY_VOID(co_await async::sleep_for(200ms));  // who waits for that place has it first
  }
  co_return ok();
}

bool SnapshotTaker::is_called(const model::FunctionSpec& spec) const {
  return parts_.catalog.spec_of({spec.id, spec.version}) != nullptr;
}

async::Task<void> SnapshotTaker::take_loop(SnapshotTaker& self) {
  if (!self.parts_.snapshots.enabled()) {
    co_return ok();
  }
  (void)co_await self.parts_.snapshots.store().check_all();
  while (true) {
    THAW_CO_TRY(const Snapshots::Spec spec, co_await self.parts_.snapshots.next());
    THAW_CO_TRY_VOID(co_await wait_for_quiet(self, spec));
    if (self.parts_.pools.shutting_down() || !self.is_called(*spec)) {
      self.parts_.snapshots.refused(spec);
      continue;
    }
    Attempt attempt;
    attempt.container = self.parts_.pools.add_for_snapshot(spec);
    const Result<void> outcome = co_await take(self, attempt);
    if (attempt.container->running) {
      (void)co_await attempt.container->running->remove();
    }
    self.parts_.pools.remove(*attempt.container);
    self.parts_.pools.look_at_who_waits();
    self.parts_.pools.tell_end();
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("no more snapshots are taken");
    }
    if (outcome) {
      self.parts_.snapshots.taken(spec);
      self.parts_.measurements.forgive(spec->version, model::Level::restored);
      continue;
    }
    if (attempt.gave_way || attempt.container->ending.reason == StopReason::made_room) {
      self.parts_.snapshots.gave_way(spec);
      log_info("no snapshot for now: a call needed its place", {{"function", spec->name}});
      continue;
    }
    attempt.gain == Attempt::Gain::none ? self.parts_.snapshots.settled(spec)
                                        : self.parts_.snapshots.refused(spec);
    self.tell(attempt, outcome.error());
  }
}

void SnapshotTaker::tell(const Attempt& attempt, const Error& error) {
  const std::string& name = attempt.container->spec->name;
  say_in_log(
      parts_.logs, *attempt.container,
      "no memory snapshot of " + name + ": " + error.to_string() + "; it starts without one");
  log_warning("no snapshot", {{"function", name}, {"reason", error.to_string()}});
}

async::Task<void> SnapshotTaker::collect_loop(SnapshotTaker& self) {
  if (!self.parts_.snapshots.enabled()) {
    co_return ok();
  }
  std::function<async::Task<void>()> collect = [&self] {
    self.parts_.snapshots.keep_only(
        [&self](const std::string& version) { return self.parts_.catalog.is_version(version); });
    return self.parts_.snapshots.store().collect();
  };
  co_return co_await async::every(collect_pause, "old snapshots", std::move(collect));
}

async::Task<void> SnapshotTaker::take(SnapshotTaker& self, Attempt& attempt) {
  const ContainerPtr container = attempt.container;
  container->start.moments.launching = monotonic_now();
  THAW_CO_TRY(worker::LaunchPlan plan, co_await self.parts_.plans.plan_for(container));
  if (!plan.snapshot_point) {
    co_return Error::failed_precondition("its program has no snapshot point");
  }
  snapshot::SnapshotStore& store = self.parts_.snapshots.store();
  THAW_CO_TRY(const snapshot::SnapshotKey key,
              co_await self.parts_.snapshots.key_for(container->spec, plan));
  THAW_CO_TRY(const std::string staging, store.begin(reserve_bytes));
  plan.staging = snapshot::SnapshotStore::name_of(staging);
  plan.levels = {model::Level::booted};
  auto launched = co_await self.parts_.worker.launch(std::move(plan));
  Result<sandbox::Checkpoint> written = Error::internal("not launched");
  if (launched) {
    container->running = std::move(*launched);
    written = co_await write(self, attempt);
    // Its folder is tidied with its end; what it wrote stays in "upper".
    auto removed = co_await container->running->remove();
    container->running.reset();
    container->has_place = false;
    self.parts_.pools.look_at_who_waits();
    self.parts_.pools.tell_end();
    if (written && !removed) {
      written = removed.error();
    }
  } else {
    written = launched.error();
  }
  Result<void> fit = written ? ok() : Result<void>(written.error());
  if (fit && is_at_ready(*container)) {
    auto preview = store.preview(staging, key, *written);
    fit = preview ? co_await try_it(self, attempt, std::move(*preview))
                  : Result<void>(preview.error());
  }
  if (!fit) {
    (void)co_await store.abandon(staging);
    co_return fit.error();
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

async::Task<void> SnapshotTaker::until_point(ContainerPtr container) {
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
  co_return ok();
}

// Its wait ends with its container, which the time limit of its start ends; and sooner, since
// others wait meanwhile.
async::Task<void> SnapshotTaker::until_ready(Attempt& attempt) {
  Container& container = *attempt.container;
  if (container.spec->push->ready.by == model::PushContract::Ready::By::said) {
    co_return Error::failed_precondition("nobody says of one in the background that it is ready");
  }
  const Result<void> ready =
      co_await async::within(ready_patience, container.running->server()->until_ready());
  if (!ready && ready.error().code() == Code::deadline_exceeded) {
    co_return Error::failed_precondition("it was not ready after " +
                                         std::to_string(ready_patience / 1min) +
                                         " minutes in the background");
  }
  if (!ready && ready.error().code() == Code::unavailable) {
    co_return Error::failed_precondition(container.start.failure
                                             ? "its server was not ready within its startup timeout"
                                             : "its server ended before it was ready");
  }
  THAW_CO_TRY_VOID(ready);
  container.start.at_snapshot_point = true;
  attempt.booted = monotonic_now() - container.start.moments.launching;
  if (!policy::is_worth_restoring(attempt.booted, Duration::zero())) {
    attempt.gain = Attempt::Gain::none;
    co_return no_gain(attempt.booted, "which a restore takes too");
  }
  co_return co_await settle(attempt.container);
}

async::Task<sandbox::Checkpoint> SnapshotTaker::write(SnapshotTaker& self, Attempt& attempt) {
  const ContainerPtr container = attempt.container;
  const bool at_ready = is_at_ready(*container);
  THAW_CO_TRY_VOID(at_ready ? co_await until_ready(attempt) : co_await until_point(container));
  if (container->stopping()) {
    co_return Error::failed_precondition("it is to end");
  }
  // Room for what it has in memory, and twice that for what it may come to while it is written.
  const std::uint64_t memory = container->running->memory_bytes();
  THAW_CO_TRY(const std::string probe, self.parts_.snapshots.store().begin(memory));
  (void)co_await self.parts_.snapshots.store().abandon(probe);
  if (!at_ready) {
    THAW_CO_TRY_VOID(co_await wait_for_close(container, close_patience));
  }
  if (is_given_up(*container)) {
    co_return Error::failed_precondition(
        container->stopping() ? "it is to end" : "its container ended before it was written");
  }
  const bool hears_restores = container->running->is_restorable();
  THAW_CO_TRY(sandbox::Checkpoint written,
              co_await container->running->checkpoint(2 * memory + reserve_bytes));
  written.hears_restores = hears_restores;
  co_return written;
}

// A machine is busier at one moment than at another: the best of a few tries counts.
async::Task<void> SnapshotTaker::try_it(SnapshotTaker& self, Attempt& attempt,
                                        snapshot::SnapshotPtr written) {
  const Snapshots::Spec spec = attempt.container->spec;
  const SnapshotTrialParts parts{self.parts_.pools, self.parts_.plans, self.parts_.worker};
  // What was deleted meanwhile is not run again.
  const auto may_go_on = [&] { return !attempt.container->stopping() && self.is_called(*spec); };
  const Error gone = Error::failed_precondition("its version is neither live nor kept any more");
  // Nor is the one boot beside them more than a moment's: what callers have waited counts too.
  const Duration measured =
      self.parts_.measurements.levels_of(spec->version).of(model::Level::booted).time;
  const Duration booted =
      measured > Duration::zero() ? std::min(measured, attempt.booted) : attempt.booted;
  Duration best = Duration::max();
  for (int i = 0; i < most_trials; ++i) {
    if (!may_go_on()) {
      co_return gone;
    }
    const Result<Duration> taken = self.has_room()
                                       ? co_await try_restore(parts, spec, written)
                                       : Result<Duration>(Error::aborted("others have all places"));
    if (!taken) {
      attempt.gave_way = taken.error().code() == Code::aborted;
      co_return taken.error();
    }
    if (!may_go_on()) {
      co_return gone;
    }
    best = std::min(best, *taken);
    if (policy::is_worth_restoring(booted, best)) {
      log_info(
          "a restore was tried",
          {{"function", spec->name}, {"booted_ms", in_ms(booted)}, {"restored_ms", in_ms(best)}});
      co_return ok();
    }
  }
  attempt.gain = Attempt::Gain::none;
  co_return no_gain(booted, "and would be " + in_ms(best) + " ms after a restore");
}

void SnapshotTaker::reached_point(const model::ContainerId& id) {
  if (const ContainerPtr container = parts_.pools.find(id); container && container->for_snapshot) {
    container->start.at_snapshot_point = true;
    container->wake.notify_all();
  }
}

}  // namespace thaw::control
