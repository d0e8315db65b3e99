// SPDX-License-Identifier: Apache-2.0
// The life of one container: plan, launch, wait, and what its end means for its inputs.
#include <algorithm>
#include <csignal>
#include <iterator>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"
#include "thaw/policy/backoff.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

void append_env(std::vector<std::string>& env, const std::vector<std::string>& more) {
  // A later value of the same name wins: the earlier one goes.
  for (const std::string& entry : more) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    std::erase_if(env, [&](const std::string& old) { return old.starts_with(name); });
    env.push_back(entry);
  }
}

std::string describe(const sandbox::ExitStatus& status) {
  if (status.ended_with_spawner) {
    return "the container ended with the process that starts containers, which was killed";
  }
  if (status.out_of_memory) {
    return "the container exceeded its memory limit and was killed";
  }
  if (status.signal != 0) {
    return "the container was killed by signal " + std::to_string(status.signal);
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
  if (!container.ended_for.empty()) {
    return OutcomeKind::failure;
  }
  const StopReason reason = container.stop_reason;
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

}  // namespace

Result<void> Fleet::outline(const model::FunctionSpec& spec, worker::LaunchPlan& plan) const {
  const auto image = parts_.catalog.images.find(spec.image.str());
  if (!image) {
    return Error::not_found("image " + spec.image.str() + " does not exist");
  }
  const auto built = parts_.images.find(image->key);
  if (!built && built.error().code() != Code::not_found) {
    return built.error();
  }
  if (!built) {
    return Error::not_found("image " + spec.image.str() +
                            " is no longer in the layer store; deploy again to rebuild it");
  }
  plan.layers = built->image.layers;
  plan.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
              "LANG=C.UTF-8"};
  append_env(plan.env, built->image.config.env);
  plan.cwd = built->image.config.workdir;
  for (const model::SecretId& id : spec.secrets) {
    const auto secret = parts_.catalog.secrets.find(id.str());
    if (!secret) {
      return Error::not_found("secret " + id.str() + " does not exist");
    }
    THAW_TRY(const std::vector<std::string> env, parts_.secret_env(*secret));
    append_env(plan.env, env);
  }
  return ok();
}

async::Task<worker::LaunchPlan> Fleet::plan_for(ContainerPtr container) {
  const auto& spec = container->spec;
  worker::LaunchPlan plan;
  plan.id = container->id;
  plan.log_stream = spec->app.str();
  plan.function = spec->id.str();
  THAW_CO_TRY_VOID(outline(*spec, plan));
  for (const model::MountId& id : spec->mounts) {
    const auto mount = parts_.catalog.mounts.find(id.str());
    if (!mount) {
      co_return Error::not_found("mount " + id.str() + " does not exist");
    }
    if (!mount->files.empty()) {
      THAW_CO_TRY(std::string folder, co_await parts_.mounts.folder_of(mount));
      plan.layers.push_back(std::move(folder));
    }
  }
  for (const model::VolumeMount& mount : spec->volumes) {
    const auto volume = parts_.catalog.volumes.find(mount.volume.str());
    if (!volume || volume->life == model::Volume::Life::doomed) {
      co_return Error::not_found("the volume " + mount.volume.str() + " at " + mount.path +
                                 " was deleted; deploy again with one that exists");
    }
  }
  THAW_CO_TRY(std::vector<sandbox::BindMount> volumes,
              co_await parts_.volumes.binds(spec->volumes));
  std::move(volumes.begin(), volumes.end(), std::back_inserter(plan.binds));
  for (const model::VolumeMount& mount : spec->volumes) {
    const Result<void> room = parts_.volumes.check_space(mount.volume, 0);
    if (!room && mount.access == model::VolumeMount::Access::read_write) {
      container->volumes_are_full = true;
      logs::Line line;
      line.time = wall_now();
      line.channel = logs::Channel::info;
      line.container = container->id.str();
      line.function = spec->id.str();
      line.text = "thaw: the volume at " + mount.path +
                  " is mounted read-only: " + room.error().message() + "\n";
      parts_.logs.append(plan.log_stream, std::move(line));
    }
  }
  plan.limits.memory_bytes = spec->resources.memory_limit_bytes != 0
                                 ? spec->resources.memory_limit_bytes
                                 : options_.default_memory_bytes;
  plan.limits.cpu_millis = spec->resources.cpu_limit_millis;
  if (spec->network == model::NetworkAccess::blocked) {
    plan.network = sandbox::SandboxSpec::Network::none;
  }
  if (!spec->resources.gpu.empty()) {
    if (options_.missing_gpu == FleetOptions::MissingGpu::error) {
      co_return Error::failed_precondition(
          "function " + spec->name + " asks for GPU " + spec->resources.gpu +
          " and this machine has none; set [gpu] when_missing = \"cpu\" in the server's "
          "configuration to run it on the CPU");
    }
    logs::Line line;
    line.time = wall_now();
    line.channel = logs::Channel::info;
    line.container = container->id.str();
    line.function = spec->id.str();
    line.text = "thaw: " + spec->name + " asks for GPU " + spec->resources.gpu +
                "; this machine has none, it runs on the CPU\n";
    parts_.logs.append(plan.log_stream, std::move(line));
  }
  if (container->for_snapshot) {
    plan.purpose = worker::LaunchPlan::Purpose::snapshot;
  }
  THAW_CO_TRY_VOID(co_await parts_.runtime.complete_plan(spec, plan));
  if (!container->for_snapshot) {
    THAW_CO_TRY(container->snapshot_key, co_await snapshots_.offer(spec, plan));
    if (!plan.fork) {
      std::erase(plan.levels, model::Level::forked);
    }
    plan.levels = policy::order_levels(parts_.measurements.levels_of(spec->version), plan.levels,
                                       monotonic_now());
    if (plan.restore && std::erase(plan.levels, model::Level::restored) > 0) {
      // Who asks for a snapshot has code that is to run once for all containers.
      plan.levels.insert(plan.levels.begin(), model::Level::restored);
    }
    Pool& pool = pool_of(spec->id);
    pool.levels = plan.levels;
    pool.fork = pool.levels.front() == model::Level::forked ? plan.fork : std::nullopt;
    dirty_.insert(spec->id);  // how others will start is known from here on
    dirtied_.notify_one();
  }
  co_return plan;
}

void Fleet::note_launch(Container& container, const snapshot::SnapshotPtr& offered) {
  if (container.running->level() == model::Level::restored) {
    container.restored_from = offered;
    // What a booted one spends on its interpreter and imports, this one spent on being restored.
    container.moments.interpreter = container.running->interpreter_started();
    container.moments.hello = monotonic_now();
  }
  container.level = container.running->level();
  ++counters_.starts[container.level];
  for (const worker::Fallback& fallback : container.running->fallbacks()) {
    ++counters_.fallbacks[{fallback.level, fallback.reason}];
    if (fallback.tried == worker::Fallback::Tried::failed ||
        fallback.tried == worker::Fallback::Tried::failed_before) {
      parts_.measurements.failed(container.spec->version, fallback.level, monotonic_now());
    }
    if (fallback.level == model::Level::restored) {
      snapshots_.failed(offered);
    }
    log_info("a start fell to a lower level",
             {{"container", container.id.str()},
              {"function", container.spec->name},
              {"from", std::string(model::level_name(fallback.level))},
              {"reason", fallback.reason},
              {"detail", fallback.detail}});
  }
}

async::Task<void> Fleet::run(Fleet& fleet, ContainerPtr container) {
  container->moments.launching = monotonic_now();
  container->in_a_crowd = fleet.is_crowded();
  Result<sandbox::ExitStatus> status = Error::internal("not started");
  auto plan = co_await fleet.plan_for(container);
  if (!plan) {
    status = plan.error();
  } else if (container->stopping()) {
    status = Error::cancelled("stopped before it started");
  } else {
    const snapshot::SnapshotPtr offered = plan->restore;
    auto launched = co_await fleet.parts_.worker.launch(std::move(*plan));
    if (!launched) {
      status = launched.error();
    } else {
      container->running = std::move(*launched);
      fleet.note_launch(*container, offered);
      container->moments.sandbox = container->running->sandbox().times().started;
      status = co_await container->running->wait();
    }
  }
  const Result<void> outcome = co_await fleet.ended(container, std::move(status));
  if (container->running) {
    if (const Result<void> removed = co_await container->running->remove(); !removed) {
      log_warning("container left something behind",
                  {{"container", container->id.str()}, {"error", removed.error().to_string()}});
    }
  }
  fleet.pool_of(container->spec->id).containers.erase(container->id);
  fleet.containers_.erase(container->id);
  fleet.demand(container->spec->id);
  fleet.look_at_who_waits();
  fleet.container_ended_.notify_all();
  co_return outcome;
}

async::Task<void> Fleet::ended(ContainerPtr container, Result<sandbox::ExitStatus> status) {
  co_await async::forget_cancellation();
  container->status = Status::stopped;
  freezer_.forget(*container);
  container->clock.enter(Status::stopped, monotonic_now());
  const std::shared_ptr<Pool> pool = shared_pool(container->spec->id);
  pool->parked.remove(container.get());
  container->wake.notify_all();
  const bool past_limit = !container->ended_for.empty();
  const std::string how = past_limit ? container->ended_for
                          : status   ? describe(*status)
                                     : status.error().to_string();
  const std::string end = container->stopping() && !past_limit
                              ? std::string(stop_reason_name(container->stop_reason))
                              : how;
  remember(*container, end);
  log_info("container ended", {{"container", container->id.str()},
                               {"function", container->spec->name},
                               {"reason", end},
                               {"calls", std::to_string(container->calls_served)}});
  if (!container->inputs.empty()) {
    const OutcomeKind kind = fault_of(*container, status);
    counters_.crashes += 1;
    counters_.out_of_memory += status && status->out_of_memory ? 1 : 0;
    const std::string message = how + " while it ran this input";
    model::Outcome verdict{kind, parts_.runtime.outcome_payload(kind, message)};
    THAW_CO_TRY_VOID(co_await parts_.queue.release(container->id, std::move(verdict)));
  }
  if (status && status->ended_with_spawner) {
    co_return ok();  // neither its start nor its snapshot is to blame
  }
  if (container->restored_from && container->failure.empty() && !container->stopping()) {
    // Its snapshot is to blame until a boot fails too: the next start goes on without it.
    snapshots_.retire(std::exchange(container->restored_from, nullptr),
                      "a restored container was not ready when it ended: " + how);
    co_return ok();
  }
  if (!container->reached_ready && (!container->stopping() || past_limit)) {
    const bool may_pass = container->failure.empty() && (status || passes(status.error().code()));
    co_return co_await start_ended_badly(pool, container, how,
                                         may_pass ? StartFailure::may_pass : StartFailure::lasting);
  }
  co_return ok();
}

// A start that failed is told to those who wait, and not tried again at once: a function that
// cannot start must not turn into a loop of crashes.
async::Task<void> Fleet::start_ended_badly(std::shared_ptr<Pool> shared, ContainerPtr container,
                                           std::string message, StartFailure failure) {
  Pool& pool = *shared;
  // Of starts that went on side by side, those that failed together are one try.
  const Instant now = monotonic_now();
  if (pool.failures == 0 || container->moments.launching >= pool.last_failure) {
    ++pool.failures;
    pool.last_failure = now;
  }
  ++counters_.start_failures;
  pool.no_start_before = now + policy::backoff(pool.failures, 500ms, 60s);
  log_warning("container failed to start", {{"container", container->id.str()},
                                            {"function", container->spec->name},
                                            {"failures", std::to_string(pool.failures)},
                                            {"reason", message}});
  constexpr int most_tries = 3;
  const bool others_serve =
      std::any_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
        const ContainerPtr other = find(id);
        return other && other->reached_ready && !other->stopping() && other != container;
      });
  if (others_serve || (failure == StartFailure::may_pass && pool.failures < most_tries)) {
    co_return ok();
  }
  std::string payload = container->failure;
  if (payload.empty()) {
    const std::string text = "the container of " + container->spec->name +
                             " could not start: " + message +
                             (container->running ? "; `thaw logs` shows what it printed" : "");
    payload = parts_.runtime.outcome_payload(OutcomeKind::failure, text);
  }
  pool.known_failure = {container->spec->version, payload};
  co_return co_await tell_waiting(std::move(shared), std::move(payload));
}

// Those who wait are told; nobody retries what fails before the first line of their function.
async::Task<void> Fleet::tell_waiting(std::shared_ptr<Pool> pool, std::string payload) {
  pool->last_verdict = payload;
  model::Outcome verdict{OutcomeKind::terminated, std::move(payload)};
  const Result<void> told = co_await parts_.queue.fail_all(pool->function, std::move(verdict),
                                                           queue::CallQueue::Which::waiting);
  ++pool->start_verdicts;
  pool->port_ready.notify_all();
  co_return told;
}

// Somebody waits for a function whose next start is not due yet, and whose last one told why it
// failed: the wait would end with the same words.
bool Fleet::is_known_to_fail(const Pool& pool) const {
  if (!pool.known_failure || pool.no_start_before <= monotonic_now() ||
      (pool.port_waiters == 0 && parts_.queue.demand(pool.function).ready == 0)) {
    return false;
  }
  const auto function = parts_.catalog.functions.find(pool.function.str());
  const auto live = function ? function->live() : nullptr;
  return live && live->version == pool.known_failure->version &&
         std::none_of(pool.containers.begin(), pool.containers.end(), [&](const auto& id) {
           const ContainerPtr container = find(id);
           return container && !container->stopping() &&
                  container->spec->version == live->version && container->status != Status::stopped;
         });
}

async::Task<void> Fleet::stop_functions(std::vector<model::FunctionId> functions,
                                        std::string message) {
  Result<void> outcome;
  for (const model::FunctionId& function : functions) {
    const std::shared_ptr<Pool> pool = shared_pool(function);
    pool->stopped = true;
    pool->port_ready.notify_all();
    model::Outcome verdict{OutcomeKind::terminated,
                           parts_.runtime.outcome_payload(OutcomeKind::terminated, message)};
    // What the disk does not take now is ended later; the containers end in any case.
    Result<void> told = co_await parts_.queue.fail_all(function, std::move(verdict));
    if (!told && outcome) {
      outcome = std::move(told);
    }
    for (const model::ContainerId& id : std::set(pool->containers)) {
      const ContainerPtr container = find(id);
      if (!container) {
        continue;
      }
      const bool working = !container->idle();
      stop(*container, StopReason::app_stopped, options_.interrupt_grace);
      if (working && container->running && container->reached_ready) {
        (void)container->running->sandbox().signal(SIGINT);
      }
    }
  }
  for (const auto& [id, container] : containers_) {
    if (container->for_snapshot &&
        std::count(functions.begin(), functions.end(), container->spec->id) > 0) {
      stop(*container, StopReason::app_stopped, Duration::zero());
    }
  }
  for (const model::FunctionId& function : functions) {
    while (running_count(function) > 0) {
      THAW_CO_TRY([[maybe_unused]] const bool notified,
                  co_await container_ended_.wait(Instant::max()));
    }
    pools_.erase(function);
    dirty_.erase(function);
    parts_.measurements.forget(function);
    THAW_CO_TRY_VOID(co_await snapshots_.forget(function));
  }
  co_return outcome;
}

// Calls whose function is gone, or whose app was stopped, and that were not ended with it: the
// server died in between, the disk did not take their end, or a record was lost. Nobody would ever
// run them.
async::Task<void> Fleet::end_orphans(Fleet& fleet) {
  Result<void> outcome;
  for (const model::FunctionId& id : fleet.parts_.queue.functions_with_demand()) {
    const auto function = fleet.parts_.catalog.functions.find(id.str());
    if (function && !fleet.is_stopped(*function)) {
      continue;
    }
    const std::string message =
        function ? "the app of this call was stopped"
                 : "the function of this call no longer exists: it was removed, or its record was "
                   "lost";
    log_warning("calls are ended", {{"function", id.str()}, {"reason", message}});
    model::Outcome verdict{OutcomeKind::terminated,
                           fleet.parts_.runtime.outcome_payload(OutcomeKind::terminated, message)};
    Result<void> told = co_await fleet.parts_.queue.fail_all(id, std::move(verdict));
    if (!told && outcome) {
      outcome = std::move(told);
    }
  }
  co_return outcome;
}

async::Task<void> Fleet::orphan_loop(Fleet& fleet) {
  (void)co_await end_orphans(fleet);
  std::function<async::Task<void>()> round = [&fleet] { return end_orphans(fleet); };
  co_return co_await async::every(10s, "orphaned calls", std::move(round));
}

async::Task<void> Fleet::shut_down(Instant deadline) {
  shutting_down_ = true;
  for (const auto& [function, pool] : pools_) {
    pool->port_ready.notify_all();
  }
  for (const auto& [id, container] : containers_) {
    const Duration left = std::max<Duration>(Duration::zero(), deadline - monotonic_now());
    stop(*container, StopReason::shutdown, container->for_snapshot ? Duration::zero() : left);
  }
  while (!containers_.empty()) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await container_ended_.wait(monotonic_now() + 1s));
  }
  THAW_CO_TRY_VOID(co_await loops_.stop());
  THAW_CO_TRY_VOID(co_await freezer_.stop());
  parts_.measurements.save();
  co_return co_await container_tasks_.stop();
}

async::Task<void> Fleet::tick_loop(Fleet& fleet) {
  return async::every(100ms, "time limits", [&fleet] { return fleet.tick(); });
}

// What fails for one container, or for the disk, does not keep the others from their time limits:
// the first error is told.
async::Task<void> Fleet::tick() {
  Result<void> outcome;
  const auto note = [&outcome](Result<void> one) {
    if (!one && outcome) {
      outcome = std::move(one);
    }
  };
  const Instant now = monotonic_now();
  if (last_sweep_ + 60s < now) {
    last_sweep_ = now;
    note(co_await parts_.queue.sweep());
  }
  if (last_save_ + 30s < now) {
    last_save_ = now;
    parts_.measurements.save();
  }
  note_load(now);
  share_processors(now);
  std::vector<ContainerPtr> all;
  for (const auto& [id, container] : containers_) {
    all.push_back(container);
  }
  for (const ContainerPtr& container : all) {
    note(co_await enforce_deadlines(container, now));
    note(co_await end_if_cut_off(container, now));
    if (is_over_its_window(*container, now)) {
      dirty_.insert(container->spec->id);
    }
  }
  for (const auto& [function, pool] : pools_) {
    if (pool->look_at <= now) {
      pool->look_at = Instant::max();
      dirty_.insert(function);
    }
    if (pool->demanded != Instant{}) {
      dirty_.insert(function);  // what waits may by now justify another container
    }
    if (pool->no_start_before != Instant{} && pool->no_start_before <= now) {
      pool->no_start_before = Instant{};
      dirty_.insert(function);
    }
  }
  if (!dirty_.empty()) {
    dirtied_.notify_one();
  }
  co_return outcome;
}

bool Fleet::is_over_its_window(const Container& container, Instant now) {
  if (!container.idle() || container.stopping() || container.status == Status::stopped) {
    return false;
  }
  // Whoever changes a function's window means its living containers too.
  const auto function = parts_.catalog.functions.find(container.spec->id.str());
  const auto live = function ? function->live() : nullptr;
  const model::Scaling& scaling = live ? live->scaling : container.spec->scaling;
  // The last container of a function without a window of its own is looked at when it is time.
  const Pool& pool = pool_of(container.spec->id);
  const bool kept = scaling.window_by == model::Scaling::WindowBy::policy &&
                    pool.last_active != Instant{} && pool.containers.size() == 1;
  return !kept && container.idle_since + scaling.scaledown_window <= now;
}

async::Task<void> Fleet::enforce_deadlines(ContainerPtr container, Instant now) {
  if (!container->running) {
    co_return ok();
  }
  if (container->kill_at <= now) {
    container->kill_at = Instant::max();
    (void)container->running->sandbox().signal(SIGKILL);
    co_return ok();
  }
  if (!container->reached_ready && !container->stopping() &&
      container->moments.launching + container->spec->startup_timeout <= now) {
    if (!container->restored_from) {  // or the snapshot is to blame, and the next start is without
      container->failure = parts_.runtime.outcome_payload(
          OutcomeKind::timeout, "the container of " + container->spec->name +
                                    " was not ready within its startup timeout of " +
                                    std::to_string(to_seconds(container->spec->startup_timeout)) +
                                    " s");
    }
    (void)container->running->sandbox().signal(SIGKILL);
    co_return ok();
  }
  std::vector<model::InputId> late;
  for (const auto& [input, work] : container->inputs) {
    if (work.deadline <= now) {
      late.push_back(input);
    }
  }
  for (const model::InputId& input : late) {
    const std::string message =
        container->spec->name + " ran past its timeout of " +
        std::to_string(
            std::chrono::duration_cast<std::chrono::seconds>(container->spec->timeout).count()) +
        " s";
    model::Outcome verdict{OutcomeKind::timeout,
                           parts_.runtime.outcome_payload(OutcomeKind::timeout, message)};
    const Result<void> told =
        co_await parts_.queue.complete(input, container->id, std::move(verdict));
    if (!told) {
      // It is the container's still, and is looked at again: a disk may have room by then.
      if (const auto work = container->inputs.find(input); work != container->inputs.end()) {
        work->second.deadline = monotonic_now() + 1s;
      }
      if (told.error().code() == Code::cancelled) {
        co_return told;
      }
      log_warning("an input that ran past its timeout is not ended yet",
                  {{"input", input.str()}, {"reason", told.error().to_string()}});
      continue;
    }
    ++counters_.input_timeouts;
    // Unless it was delivered here again meanwhile, and has its time before it.
    if (const auto work = container->inputs.find(input);
        work != container->inputs.end() && work->second.deadline <= now) {
      container->inputs.erase(work);
    }
    // Alone in its container a hung call is ended with it; beside others it is cancelled first.
    const bool alone = container->inputs.empty() && container->proxied == 0;
    container->cancels.push_back(input);
    stop(*container, StopReason::timeout, alone ? Duration::zero() : options_.interrupt_grace);
  }
  co_return ok();
}

}  // namespace thaw::control
