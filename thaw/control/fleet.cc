// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/fleet.h"

#include <algorithm>
#include <csignal>
#include <set>
#include <utility>

#include "thaw/async/every.h"
#include "thaw/control/disk_watch.h"
#include "thaw/control/invariants.h"
#include "thaw/control/kept_ready.h"
#include "thaw/control/processor_shares.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

// What cannot be frozen would cost its processors.
StandbyOptions standby_options(const FleetOptions& options) {
  StandbyOptions standby{options.standby, options.max_containers};
  if (options.freezer.use == FreezerOptions::Use::off) {
    standby.rules.unused = Duration::zero();
  }
  return standby;
}

}  // namespace

Fleet::Fleet(FleetParts parts, FleetOptions options)
    : parts_(std::move(parts)),
      options_(options),
      snapshots_(parts_.snapshots, parts_.worker),
      metering_({parts_.queue, parts_.ledger,
                 [this] {
                   for (const auto& [id, container] : pools_.containers()) {
                     metering_.sample(*container, monotonic_now());
                   }
                 }}),
      pools_({parts_.loop, parts_.worker, parts_.measurements, metering_},
             {options.stop_grace, options.interrupt_grace}, options.freezer),
      load_(pools_, parts_.worker),
      keep_alive_({pools_, parts_.catalog, parts_.measurements, counters_},
                  {options.keep_alive, options.shortest_window}),
      views_(pools_, options.kept_starts),
      plans_({parts_.catalog, parts_.images, parts_.mounts, parts_.volumes, parts_.logs,
              parts_.runtime, parts_.secret_env, parts_.measurements, snapshots_, pools_},
             {options.default_memory_bytes, options.missing_gpu}),
      expectations_({pools_, parts_.catalog, parts_.runtime, parts_.worker, plans_},
                    options.expect_after),
      snapshot_taker_({pools_, parts_.catalog, snapshots_, parts_.worker, parts_.logs,
                       parts_.measurements, plans_, options.max_containers}),
      starts_({parts_.loop, pools_, plans_, parts_.worker, parts_.queue, parts_.catalog,
               parts_.logs, snapshots_, parts_.measurements, load_, views_, counters_,
               [this](const Container& container, const Result<void>& how) {
                 standbys_.note_end(container, how);
               },
               [this](const ContainerPtr& container) { servers_.watch(container); },
               [this](const model::Target& target) { scaler_.demand(target); }}),
      standbys_({pools_, parts_.catalog, parts_.worker, plans_, snapshots_, starts_},
                standby_options(options)),
      inputs_({pools_, parts_.queue, starts_, keep_alive_, counters_}),
      ports_(pools_, keep_alive_, counters_, options.max_port_waiters),
      servers_({parts_.loop, pools_, starts_, inputs_, parts_.logs, parts_.queue}),
      scaler_({pools_, parts_.catalog, parts_.queue, parts_.worker, load_, keep_alive_, starts_,
               standbys_},
              {options.max_containers, options.max_starting}),
      limits_({pools_, parts_.queue, parts_.logs, counters_}),
      orphans_(parts_.catalog, parts_.queue),
      loops_(parts_.loop) {}

Fleet::~Fleet() = default;

std::vector<DiskUser> Fleet::disk_users() const { return views_.disk_users(); }

std::size_t Fleet::most_of_one_function() const {
  return policy::most_of_one_function(options_.max_containers);
}

Duration Fleet::call_time_of(const model::Target& target) const {
  const PoolPtr pool = pools_.find_pool(target);
  return pool ? pool->call_time : Duration::zero();
}

std::vector<FunctionView> Fleet::functions() const {
  return view_functions({pools_, parts_.catalog, parts_.measurements, keep_alive_});
}

std::vector<std::string> Fleet::check_invariants() const {
  return control::check_invariants(pools_, parts_.queue);
}

void Fleet::start() {
  parts_.queue.on_demand([this](const model::Target& target) { scaler_.demand(target); });
  pools_.start();
  loops_.start("scaling", Scaler::loop(scaler_));
  loops_.start("time limits", tick_loop(*this));
  loops_.start("orphaned calls", Orphans::loop(orphans_));
  if (metering_.is_on()) {
    loops_.start("ledger", Metering::loop(metering_));
  }
  loops_.start("snapshots", SnapshotTaker::take_loop(snapshot_taker_));
  loops_.start("old snapshots", SnapshotTaker::collect_loop(snapshot_taker_));
  loops_.start("published functions", Expectations::loop(expectations_));
  for (const model::Target& target : parts_.queue.targets_with_demand()) {
    scaler_.demand(target);
  }
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    for (const model::Target& target : kept_ready_targets(parts_.catalog, function->id)) {
      pools_.looks().want(target);
    }
  }
  keep_alive_.resume_gaps();
}

Result<std::shared_ptr<const model::FunctionSpec>> Fleet::spec_of(
    const model::ContainerId& id) const {
  THAW_TRY(const ContainerPtr container, pools_.get(id));
  return container->spec;
}

Result<std::string> Fleet::address_of(const model::ContainerId& id) const {
  THAW_TRY(const ContainerPtr container, pools_.get(id));
  if (!container->running || container->status == Status::stopped ||
      container->running->has_ended()) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  if (container->running->address().empty()) {
    return Error::failed_precondition("container " + id.str() +
                                      " has no network: its function was made with "
                                      "its network blocked");
  }
  return container->running->address();
}

async::Task<std::string> Fleet::find_open_file(model::ContainerId id,
                                               std::vector<std::string> folders) const {
  const ContainerPtr container = pools_.find(id);
  if (!container || !container->running) {
    co_return Error::not_found("container " + id.str() + " has ended");
  }
  co_return co_await container->running->find_open_file(std::move(folders));
}

async::Task<worker::RootUse> Fleet::measure_root(model::ContainerId id) const {
  const ContainerPtr container = pools_.find(id);
  if (!container || !container->running) {
    co_return worker::RootUse{};  // what is gone takes nothing
  }
  co_return co_await container->running->measure_root();
}

void Fleet::refresh(const model::FunctionId& function) {
  if (options_.expects) {
    expectations_.note_published(function);
  }
  standbys_.look_soon();
  reroute(function);
  if (!pools_.has(function) && parts_.queue.demand(function).ready == 0 &&
      kept_ready(parts_.catalog, function) == 0) {
    return;  // nobody has called it yet: until somebody does, it costs its record only
  }
  for (const PoolPtr& pool : pools_.of_function(function)) {
    pool->stopped = false;
  }
  pools_.of(function).stopped = false;
  pools_.of(function).forget_failures();
  pools_.looks().want_now(function);
}

void Fleet::reroute(const model::FunctionId& function) {
  for (const model::Target& target : kept_ready_targets(parts_.catalog, function)) {
    pools_.looks().want_now(target);
  }
}

bool Fleet::is_in_use(const model::Target& target) const {
  const PoolPtr pool = pools_.find_pool(target);
  return pool &&
         (pool->port_waiters > 0 ||
          std::any_of(pool->containers.begin(), pool->containers.end(), [&](const auto& id) {
            const ContainerPtr container = pools_.find(id);
            return container && container->status != Status::stopped &&
                   (container->work.proxied > 0 || !container->work.inputs.empty());
          }));
}

void Fleet::let_go(const std::vector<model::Target>& targets) {
  for (const model::Target& target : targets) {
    if (pools_.has(target)) {
      pools_.looks().want_now(target);
    }
  }
}

void Fleet::forget_gone() {
  parts_.measurements.keep_only(
      [this](const std::string& version) { return parts_.catalog.is_version(version); });
  pools_.forget_unused([this](const model::Target& target) {
    return target.is_pinned() ? !parts_.catalog.spec_of(target)
                              : !parts_.catalog.functions.find(target.function.str());
  });
}

Result<void> Fleet::stop_container(const model::ContainerId& id, StopHow how) {
  const ContainerPtr container = pools_.find(id);
  if (!container) {
    return Error::not_found("container " + id.str() + " does not exist or has ended");
  }
  pools_.stop(*container, StopReason::user,
              how == StopHow::graceful ? options_.stop_grace : options_.interrupt_grace);
  if (how == StopHow::now && container->running && !container->idle()) {
    return container->running->signal(interrupt_signal(*container->spec));
  }
  return ok();
}

async::Task<void> Fleet::stop_functions(std::vector<model::FunctionId> functions,
                                        std::string message) {
  for (const model::FunctionId& function : functions) {
    (void)pools_.shared(function);  // who comes now is told, too
    for (const PoolPtr& pool : pools_.of_function(function)) {
      pool->stopped = true;
      pool->port_ready.notify_all();
    }
  }
  // One that was published again meanwhile, such as by a rollback, is none of this any more.
  const auto is_back = [this](const model::FunctionId& function) {
    const PoolPtr pool = pools_.find_pool(function);
    return pool && !pool->stopped;
  };
  Result<void> outcome;
  for (const model::FunctionId& function : functions) {
    if (is_back(function)) {
      continue;
    }
    std::set<model::ContainerId> containers;
    model::Outcome verdict = model::failed(
        OutcomeKind::terminated, {.type = model::failure_type::app_stopped, .message = message});
    // What the disk does not take now is ended later; the containers end in any case.
    Result<void> told = co_await parts_.queue.fail_all(function, std::move(verdict));
    if (!told && outcome) {
      outcome = std::move(told);
    }
    if (is_back(function)) {
      continue;
    }
    for (const PoolPtr& pool : pools_.of_function(function)) {
      containers.insert(pool->containers.begin(), pool->containers.end());
    }
    for (const model::ContainerId& id : containers) {
      const ContainerPtr container = pools_.find(id);
      if (!container) {
        continue;
      }
      const bool working = !container->idle();
      pools_.stop(*container, StopReason::app_stopped, options_.interrupt_grace);
      if (working && container->running && container->start.reached_ready) {
        (void)container->running->signal(interrupt_signal(*container->spec));
      }
    }
  }
  for (const auto& [id, container] : pools_.containers()) {
    if (container->in_background() && !is_back(container->spec->id) &&
        std::count(functions.begin(), functions.end(), container->spec->id) > 0) {
      pools_.stop(*container, StopReason::app_stopped, Duration::zero());
    }
  }
  for (const model::FunctionId& function : functions) {
    // One that is back may never be without containers; that is looked at now and then.
    while (pools_.count(function) > 0 && !is_back(function)) {
      THAW_CO_TRY([[maybe_unused]] const bool notified,
                  co_await pools_.wait_for_end(monotonic_now() + 1s));
    }
    if (is_back(function)) {
      continue;
    }
    pools_.forget_pools(function);
    parts_.measurements.forget(function);
    THAW_CO_TRY_VOID(co_await snapshots_.forget(function));
  }
  co_return outcome;
}

async::Task<std::string> Fleet::end_of(model::ContainerId id, Instant until) {
  while (const ContainerPtr container = pools_.find(id)) {
    if (container->status == Status::stopped || monotonic_now() >= until) {
      break;
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await container->wake.wait(until));
  }
  co_return views_.end_of(id);
}

async::Task<void> Fleet::shut_down(Instant deadline) {
  pools_.shut_down();
  for (const auto& [id, container] : pools_.containers()) {
    const Duration left = std::max<Duration>(Duration::zero(), deadline - monotonic_now());
    pools_.stop(*container, StopReason::shutdown,
                container->in_background() ? Duration::zero() : left);
  }
  while (!pools_.containers().empty()) {
    THAW_CO_TRY([[maybe_unused]] const bool notified,
                co_await pools_.wait_for_end(monotonic_now() + 1s));
  }
  THAW_CO_TRY_VOID(co_await loops_.stop());
  THAW_CO_TRY_VOID(co_await pools_.stop_freezing());
  THAW_CO_TRY_VOID(co_await servers_.stop());
  parts_.measurements.save();
  const Result<void> stopped = co_await starts_.stop();
  const Result<void> written = co_await metering_.write_all();
  co_return stopped ? written : stopped;
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
  load_.note(now);
  load_.note_survivals(now);
  share_processors(pools_, now);
  std::vector<ContainerPtr> all;
  for (const auto& [id, container] : pools_.containers()) {
    all.push_back(container);
  }
  for (const ContainerPtr& container : all) {
    note(co_await limits_.enforce(container, now));
    limits_.end_if_cut_off(container, now);
    starts_.note_served(*container);
    if (keep_alive_.is_over_its_window(*container, now)) {
      pools_.looks().want(container->target);
    }
  }
  for (const auto& [target, pool] : pools_.all()) {
    if (pool->look_at <= now) {
      pool->look_at = Instant::max();
      pools_.looks().want(target);
    }
    if (pool->demanded != Instant{}) {
      pools_.looks().want(target);  // what waits may by now justify another container
    }
    if (pool->no_start_before != Instant{} && pool->no_start_before <= now) {
      pool->no_start_before = Instant{};
      pools_.looks().want(target);
    }
  }
  standbys_.look(now);
  if (!pools_.looks().empty()) {
    pools_.looks().hurry();
  }
  co_return outcome;
}

}  // namespace thaw::control
