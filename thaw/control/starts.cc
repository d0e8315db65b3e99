// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/starts.h"

#include <algorithm>
#include <csignal>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/control/container_log.h"
#include "thaw/control/kept_ready.h"
#include "thaw/control/metering.h"
#include "thaw/policy/backoff.h"
#include "thaw/policy/snapshot_blame.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

std::string describe(const sandbox::ExitStatus& status, model::RunnerKind runner) {
  if (status.ended_with_spawner) {
    return "the container ended with the process that starts containers, which was killed";
  }
  if (status.out_of_memory) {
    return "the container exceeded its memory limit and was killed";
  }
  if (status.signal != 0) {
    return "the container was killed by signal " + std::to_string(status.signal);
  }
  if (status.code == 0 && runner == model::RunnerKind::push) {
    return "the container's server ended by itself (exit code 0)";
  }
  if (status.code == 0) {
    return "the container's program ended by itself (exit code 0) without a result, as by a "
           "KeyboardInterrupt, SIGINT or os._exit(0)";
  }
  return "the container exited with code " + std::to_string(status.code);
}

// Whose fault it is that a container ended while it worked. What the platform did, or was done to
// it, is delivered again; a program that ends itself, or eats its memory, uses up its retries. Who
// has killed the program alone is not known: where there are retries it counts as one, and where
// there are none it is delivered again, so that nothing is lost by a kill from outside.
OutcomeKind fault_of(const Container& container, const Result<sandbox::ExitStatus>& status) {
  if (!container.ending.why.empty()) {
    return OutcomeKind::failure;
  }
  const StopReason reason = container.ending.reason;
  const bool is_interrupted = reason == StopReason::app_stopped || reason == StopReason::user ||
                              reason == StopReason::timeout || reason == StopReason::shutdown;
  if (!status || is_interrupted) {
    return OutcomeKind::internal_failure;
  }
  if (status->signal != SIGKILL || status->out_of_memory) {
    return OutcomeKind::failure;
  }
  return status->killed_as_a_whole || container.spec->retry.max_retries == 0
             ? OutcomeKind::internal_failure
             : OutcomeKind::failure;
}

// Whether what could not be started may be started a moment later.
bool passes(Code code) {
  switch (code) {
    case Code::not_found:
    case Code::invalid_argument:
    case Code::failed_precondition:
    case Code::permission_denied:
    case Code::unimplemented:
    case Code::data_loss:
    case Code::cancelled: return false;
    default: return true;
  }
}

// The time of such a start says nothing about the level that it ended with.
bool tried_in_vain(const std::vector<worker::Fallback>& fallbacks) {
  return std::any_of(fallbacks.begin(), fallbacks.end(), [](const worker::Fallback& fallback) {
    return fallback.tried == worker::Fallback::Tried::in_vain ||
           fallback.tried == worker::Fallback::Tried::failed;
  });
}

}  // namespace

void Starts::start(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec) {
  const meter::Cause cause = cause_of_start(pool, *spec);
  const ContainerPtr container = parts_.pools.add(pool.target, std::move(spec), cause);
  container->start.moments.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  tasks_.start("container " + container->id.str(), run(*this, container));
}

meter::Cause Starts::cause_of_start(const Pool& pool, const model::FunctionSpec& spec) const {
  if (pool.demanded != Instant{}) {
    return meter::Cause::call;
  }
  if (pool.containers.size() < kept_ready(parts_.catalog, pool.target)) {
    return meter::Cause::min;
  }
  return spec.scaling.buffer_containers > 0 ? meter::Cause::buffer : meter::Cause::ahead;
}

ContainerPtr Starts::start_standby(std::shared_ptr<const model::FunctionSpec> spec) {
  ContainerPtr container = parts_.pools.add_standby(std::move(spec));
  container->start.moments.demanded = monotonic_now();
  tasks_.start("standby " + container->id.str(), run(*this, container));
  return container;
}

void Starts::adopt(Pool& pool, const ContainerPtr& container) {
  THAW_CHECK(container->stands_by && container->start.reached_ready);
  const Instant now = monotonic_now();
  // What people see of its start is what its first call has waited for.
  StartMoments& moments = container->start.moments;
  moments = {};
  moments.demanded = pool.demanded == Instant{} ? now : pool.demanded;
  moments.launching = moments.sandbox = moments.interpreter = moments.hello = moments.ready = now;
  container->start.level = model::Level::frozen;
  container->work.idle_since = now;
  parts_.pools.adopt(pool.target, *container);
  parts_.load.note_joined(pool, *container);
  pool.forget_failures();
  pool.port_ready.notify_all();
  container->wake.notify_all();
}

void Starts::said_hello(const model::ContainerId& id) {
  const ContainerPtr container = parts_.pools.find(id);
  if (container && container->start.moments.hello == Instant{}) {
    container->start.moments.hello = monotonic_now();
    if (container->running) {
      container->start.moments.interpreter = container->running->interpreter_started();
    }
  }
}

void Starts::failed(const model::ContainerId& id, model::Outcome outcome) {
  if (const ContainerPtr container = parts_.pools.find(id)) {
    container->start.failure = std::move(outcome);
  }
}

void Starts::became_ready(Pool& pool, Container& container) {
  if (container.start.reached_ready) {
    return;
  }
  note_ready(container);
  parts_.load.note_ready(pool, container);
  learn(pool.start_time, container.start.moments.ready - container.start.moments.launching);
  if (!container.start.restored_from && container.start.level != model::Level::restored) {
    parts_.snapshots.started(container.spec, container.start.snapshot_key);
  }
  pool.forget_failures();
  pool.port_ready.notify_all();
  parts_.pools.look_at_who_waits();  // a container that has started makes room for the next start
  parts_.pools.update(container);
}

// What its start says, whoever it was started for.
void Starts::note_ready(Container& container) {
  const bool in_a_crowd = container.start.in_a_crowd || parts_.pools.is_crowded();
  container.start.reached_ready = true;
  container.start.moments.ready = monotonic_now();
  container.work.idle_since = container.start.moments.ready;
  const Duration start = container.start.moments.ready - container.start.moments.launching;
  if (!in_a_crowd && container.running && !tried_in_vain(container.running->fallbacks())) {
    parts_.measurements.started(container.spec->version, container.start.level, start);
  }
  if (container.start.restored_from && !container.spec->push) {
    parts_.snapshots.succeeded(std::exchange(container.start.restored_from, nullptr));
  }  // a server has proved nothing by being ready: see note_served()
}

void Starts::became_standby(Container& container) {
  if (!container.start.reached_ready) {
    note_ready(container);
    parts_.pools.update(container);
  }
}

void Starts::note_served(Container& container) {
  if (container.start.restored_from && container.start.reached_ready &&
      container.work.answers > 0) {
    parts_.snapshots.succeeded(std::exchange(container.start.restored_from, nullptr));
  }
}

// What a container that was restored and is not proved to be well has to do with its end.
bool Starts::blames_snapshot(Container& container, const Result<sandbox::ExitStatus>& status,
                             const std::string& how) {
  note_served(container);  // it may have ended before anybody looked
  if (!container.start.restored_from) {
    return false;
  }
  const StopReason reason = container.ending.reason;
  policy::RestoredEnd end;
  end.was_ready = container.start.reached_ready;
  end.was_told = container.stopping();
  end.was_silent = reason == StopReason::timeout || reason == StopReason::unhealthy ||
                   container.work.passages_timed_out > 0;
  end.was_late = container.start.was_late;
  end.was_unfit = container.start.was_unfit;
  end.said_why = container.start.failure.has_value();
  end.was_killed = status && (status->ended_with_spawner ||
                              (status->killed_as_a_whole && !status->out_of_memory));
  const policy::SnapshotBlame blame = policy::blame_snapshot(end);
  if (blame == policy::SnapshotBlame::none) {
    return false;
  }
  const snapshot::SnapshotPtr snapshot = std::exchange(container.start.restored_from, nullptr);
  if (blame == policy::SnapshotBlame::failed) {
    parts_.snapshots.failed(snapshot);
    say_in_log(parts_.logs, container,
               "it ended before its first answer, restored from a memory snapshot, which is given "
               "up if that goes on: " +
                   how);
    return true;
  }
  // The snapshot is to blame until a boot fails too: the next start goes on without it.
  parts_.snapshots.retire(snapshot, "a restored container was not ready when it ended: " + how);
  return true;
}

void Starts::note_launch(Container& container, const snapshot::SnapshotPtr& offered) {
  if (container.running->level() == model::Level::restored) {
    container.start.restored_from = offered;
    // What a booted one spends on its interpreter and imports, this one spent on being restored.
    container.start.moments.interpreter = container.running->interpreter_started();
    container.start.moments.hello = monotonic_now();
  }
  container.start.level = container.running->level();
  ++parts_.counters.starts[container.start.level];
  for (const worker::Fallback& fallback : container.running->fallbacks()) {
    ++parts_.counters.fallbacks[{fallback.level, fallback.reason}];
    const bool is_restore = fallback.level == model::Level::restored;
    // What the machine cannot do now it need not try at each start, whoever is to blame.
    if (fallback.tried == worker::Fallback::Tried::failed ||
        fallback.tried == worker::Fallback::Tried::failed_before ||
        (is_restore && fallback.tried == worker::Fallback::Tried::in_vain)) {
      parts_.measurements.failed(container.spec->version, fallback.level, monotonic_now());
    }
    if (is_restore && fallback.tried == worker::Fallback::Tried::failed) {
      parts_.snapshots.failed(offered);
    }
    log_info("a start fell to a lower level",
             {{"container", container.id.str()},
              {"function", container.spec->name},
              {"from", std::string(model::level_name(fallback.level))},
              {"reason", fallback.reason},
              {"detail", fallback.detail}});
  }
}

async::Task<void> Starts::run(Starts& self, ContainerPtr container) {
  container->start.moments.launching = monotonic_now();
  container->start.in_a_crowd = self.parts_.pools.is_crowded();
  Result<sandbox::ExitStatus> status = Error::internal("not started");
  auto plan = co_await self.parts_.plans.plan_for(container);
  if (!plan) {
    status = plan.error();
  } else if (container->stopping()) {
    status = Error::cancelled("stopped before it started");
  } else {
    const snapshot::SnapshotPtr offered = std::exchange(container->start.offered, nullptr);
    Result<void> fit = container->stands_by ? restore_only(*plan) : ok();
    if (fit && container->stands_by && container->start.volumes_are_full) {
      fit = Error::unavailable("a volume of it has no room, which is to be seen by each start");
    }
    if (fit && container->stands_by) {
      self.parts_.pools.begin_life(*container);
    }
    auto launched = fit ? co_await self.parts_.worker.launch(std::move(*plan))
                        : Result<std::unique_ptr<worker::RunningContainer>>(fit.error());
    if (!launched) {
      status = launched.error();
      if (fit && container->stands_by && launched.error().code() == Code::failed_precondition) {
        self.parts_.snapshots.failed(offered);
      }
    } else {
      container->running = std::move(*launched);
      self.note_launch(*container, offered);
      container->start.moments.sandbox = container->running->started();
      if (container->running->server() != nullptr) {
        self.parts_.watch_server(container);
      }
      status = co_await container->running->wait();
    }
  }
  const Result<void> outcome = co_await self.ended(container, std::move(status));
  if (container->running) {
    if (const Result<void> removed = co_await container->running->remove(); !removed) {
      log_warning("container left something behind",
                  {{"container", container->id.str()}, {"error", removed.error().to_string()}});
    }
  }
  self.parts_.pools.remove(*container);
  if (!container->stands_by) {
    self.parts_.demand(container->target);
  }
  self.parts_.pools.look_at_who_waits();
  self.parts_.pools.tell_end();
  co_return outcome;
}

// It is there only while it costs little: it never boots.
Result<void> Starts::restore_only(worker::LaunchPlan& plan) {
  const bool may_restore = !plan.restore.empty() && plan.snapshot_point &&
                           std::find(plan.levels.begin(), plan.levels.end(),
                                     model::Level::restored) != plan.levels.end();
  if (!may_restore) {
    return Error::not_found("there is no snapshot that it would be restored from");
  }
  plan.levels = {model::Level::restored};
  return ok();
}

// Nobody waits for it.
void Starts::end_standby(Container& container, const Result<sandbox::ExitStatus>& status,
                         const std::string& how) {
  (void)blames_snapshot(container, status, how);
  const bool is_as_meant = container.stopping() && container.ending.why.empty();
  parts_.standby_ended(container, is_as_meant ? ok() : Result<void>(Error::unavailable(how)));
}

async::Task<void> Starts::ended(ContainerPtr container, Result<sandbox::ExitStatus> status) {
  co_await async::forget_cancellation();
  for (const auto& [input, work] : container->work.inputs) {
    parts_.pools.metering().owe(*container, input, {OutcomeKind::internal_failure});
  }
  parts_.pools.ended(*container);
  const bool past_limit = !container->ending.why.empty();
  const std::string how = past_limit ? container->ending.why
                          : status   ? describe(*status, container->spec->runner())
                                     : status.error().to_string();
  const std::string end = container->stopping() && !past_limit
                              ? std::string(stop_reason_name(container->ending.reason))
                              : how;
  parts_.views.remember(*container, end);
  log_info("container ended", {{"container", container->id.str()},
                               {"function", container->spec->name},
                               {"reason", end},
                               {"calls", std::to_string(container->work.calls_served)}});
  if (container->stands_by) {
    end_standby(*container, status, how);
    co_return ok();
  }
  const PoolPtr pool = parts_.pools.shared(container->target);
  if (!container->work.inputs.empty()) {
    const OutcomeKind kind = fault_of(*container, status);
    const bool for_memory = status && status->out_of_memory;
    parts_.counters.crashes += 1;
    parts_.counters.out_of_memory += for_memory ? 1 : 0;
    model::Outcome verdict =
        model::failed(kind, {.type = for_memory ? model::failure_type::out_of_memory
                                                : model::failure_type::container_ended,
                             .message = how + " while it ran this input",
                             .retryable = kind == OutcomeKind::internal_failure});
    THAW_CO_TRY_VOID(co_await parts_.queue.release(container->id, std::move(verdict)));
  }
  if (status && status->ended_with_spawner) {
    co_return ok();  // neither its start nor its snapshot is to blame
  }
  if (blames_snapshot(*container, status, how)) {
    co_return ok();
  }
  if (!container->start.reached_ready && (!container->stopping() || past_limit)) {
    const bool may_pass = !container->start.failure && (status || passes(status.error().code()));
    co_return co_await ended_badly(pool, container, how,
                                   may_pass ? StartFailure::may_pass : StartFailure::lasting);
  }
  co_return ok();
}

async::Task<void> Starts::ended_badly(PoolPtr shared, ContainerPtr container, std::string message,
                                      StartFailure failure) {
  Pool& pool = *shared;
  // Of starts that went on side by side, those that failed together are one try.
  const Instant now = monotonic_now();
  if (pool.failures == 0 || container->start.moments.launching >= pool.last_failure) {
    ++pool.failures;
    pool.last_failure = now;
  }
  ++parts_.counters.start_failures;
  pool.no_start_before = now + policy::backoff(pool.failures, 500ms, 60s);
  log_warning("container failed to start", {{"container", container->id.str()},
                                            {"function", container->spec->name},
                                            {"failures", std::to_string(pool.failures)},
                                            {"reason", message}});
  constexpr int most_tries = 3;
  const bool others_serve =
      std::any_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
        const ContainerPtr other = parts_.pools.find(id);
        return other && other->start.reached_ready && !other->stopping() && other != container;
      });
  if (others_serve || (failure == StartFailure::may_pass && pool.failures < most_tries)) {
    co_return ok();
  }
  model::Outcome outcome;
  if (container->start.failure) {
    outcome = *container->start.failure;
  } else {
    outcome = model::failed(
        OutcomeKind::failure,
        {.type = model::failure_type::start_failed,
         .message = "the container of " + container->spec->name + " could not start: " + message +
                    (container->running ? "; `thaw logs` shows what it printed" : ""),
         .retryable = failure == StartFailure::may_pass});
  }
  pool.known_failure = {container->spec->version, outcome};
  co_return co_await tell_waiting(std::move(shared), std::move(outcome));
}

async::Task<void> Starts::tell_waiting(PoolPtr pool, model::Outcome outcome) {
  pool->last_verdict = outcome;
  const Result<void> told = co_await parts_.queue.fail_waiting(pool->target, std::move(outcome));
  ++pool->start_verdicts;
  pool->port_ready.notify_all();
  co_return told;
}

bool Starts::is_known_to_fail(const Pool& pool) const {
  if (!pool.known_failure || pool.no_start_before <= monotonic_now() ||
      (pool.port_waiters == 0 && parts_.queue.demand(pool.target).ready == 0)) {
    return false;
  }
  const auto spec = parts_.catalog.spec_of(pool.target);
  return spec && spec->version == pool.known_failure->version &&
         std::none_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
           const ContainerPtr container = parts_.pools.find(id);
           return container && !container->stopping() &&
                  container->spec->version == spec->version && container->status != Status::stopped;
         });
}

}  // namespace thaw::control
