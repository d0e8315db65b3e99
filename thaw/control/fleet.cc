// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/fleet.h"

#include <algorithm>
#include <csignal>
#include <list>

#include "thaw/base/check.h"
#include "thaw/base/log.h"
#include "thaw/codec/ids.h"
#include "thaw/control/pool.h"
#include "thaw/policy/backoff.h"
#include "thaw/policy/scale.h"

namespace thaw::control {

using model::OutcomeKind;

namespace {

// A running mean that follows the last dozen values.
void learn(Duration& mean, Duration value) {
  mean = mean == Duration::zero() ? value : (mean * 7 + value) / 8;
}

bool serves_port(const model::FunctionSpec& spec) {
  return std::any_of(spec.web.begin(), spec.web.end(), [](const model::WebEndpoint& web) {
    return web.kind == model::WebEndpoint::Kind::server_port;
  });
}

std::size_t slots(const model::Scaling& scaling) {
  return static_cast<std::size_t>(std::max(1, scaling.max_concurrent_inputs));
}

}  // namespace

std::string_view status_name(Status status) {
  switch (status) {
    case Status::starting: return "starting";
    case Status::warm: return "warm";
    case Status::busy: return "busy";
    case Status::stopping: return "stopping";
    case Status::stopped: return "stopped";
  }
  return "stopped";
}

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::none: return "";
    case StopReason::idle: return "idle";
    case StopReason::replaced: return "replaced by a new version";
    case StopReason::app_stopped: return "app stopped";
    case StopReason::single_use: return "single use";
    case StopReason::timeout: return "an input ran past its timeout";
    case StopReason::user: return "stopped by request";
    case StopReason::shutdown: return "server stopped";
  }
  return "";
}

Fleet::Fleet(FleetParts parts, FleetOptions options)
    : parts_(std::move(parts)),
      options_(options),
      loops_(parts_.loop),
      container_tasks_(parts_.loop) {}

Fleet::~Fleet() = default;

void Fleet::start() {
  parts_.queue.on_demand([this](const model::FunctionId& function) { demand(function); });
  loops_.start("scaling", evaluate_loop(*this));
  loops_.start("time limits", tick_loop(*this));
  for (const model::FunctionId& function : parts_.queue.functions_with_demand()) {
    demand(function);
  }
  for (const auto& [id, function] : parts_.catalog.functions.all()) {
    const auto live = function->live();
    if (live && live->scaling.min_containers > 0) {
      dirty_.insert(function->id);
    }
  }
}

std::shared_ptr<Fleet::Pool> Fleet::shared_pool(const model::FunctionId& function) {
  auto& pool = pools_[function];
  if (!pool) {
    pool = std::make_shared<Pool>(function);
  }
  return pool;
}

Fleet::ContainerPtr Fleet::find(const model::ContainerId& id) const {
  const auto found = containers_.find(id);
  return found == containers_.end() ? nullptr : found->second;
}

// The hot path: wake as many parked containers as there are inputs, then let scaling look.
void Fleet::demand(const model::FunctionId& function) {
  Pool& pool = pool_of(function);
  const queue::Demand now = parts_.queue.demand(function);
  for (std::size_t n = now.ready; n > 0 && !pool.parked.empty(); --n) {
    Container* container = pool.parked.back();
    pool.parked.pop_back();
    container->wake.notify_all();
  }
  if (now.ready > 0 && pool.demanded == Instant{}) {
    pool.demanded = monotonic_now();
  }
  dirty_.insert(function);
  dirtied_.notify_one();
}

async::Task<void> Fleet::evaluate_loop(Fleet& fleet) {
  while (true) {
    while (!fleet.dirty_.empty()) {
      const std::set<model::FunctionId> functions = std::exchange(fleet.dirty_, {});
      for (const model::FunctionId& function : functions) {
        fleet.evaluate(fleet.pool_of(function));
      }
    }
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await fleet.dirtied_.wait(Instant::max()));
  }
}

void Fleet::evaluate(Pool& pool) {
  const auto function = parts_.catalog.functions.find(pool.function.str());
  const auto live = function ? function->live() : nullptr;
  policy::PoolView view;
  view.now = monotonic_now();
  view.wanted = live != nullptr && !pool.stopped && !shutting_down_;
  view.waiting = parts_.queue.demand(pool.function).ready + pool.port_waiters;
  view.waited = pool.demanded == Instant{} ? Duration::zero() : view.now - pool.demanded;
  view.call_time = pool.call_time;
  view.start_time = pool.start_time;
  view.no_start_before = pool.no_start_before;
  std::size_t all_starting = 0;
  for (const auto& [id, container] : containers_) {
    all_starting += container->reached_ready ? 0 : 1;
  }
  std::vector<ContainerPtr> idle;
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = find(id);
    if (live && container->spec->version != live->version && !container->stopping()) {
      stop(*container, StopReason::replaced, options_.stop_grace);
    }
    if (container->stopping()) {
      continue;
    }
    if (!container->reached_ready) {
      ++view.starting;
      continue;
    }
    ++view.running;
    const std::size_t used = container->inputs.size() + container->proxied;
    view.free_slots +=
        slots(container->spec->scaling) - std::min(slots(container->spec->scaling), used);
    if (container->idle()) {
      idle.push_back(container);
    }
  }
  std::sort(idle.begin(), idle.end(),
            [](const auto& a, const auto& b) { return a->idle_since < b->idle_since; });
  for (const ContainerPtr& container : idle) {
    view.idle.push_back({container->idle_since});
  }
  view.capacity =
      std::min(options_.max_containers - std::min(options_.max_containers, containers_.size()),
               options_.max_starting - std::min(options_.max_starting, all_starting));
  const policy::ScalePlan plan = policy::plan_scale(live ? live->scaling : model::Scaling{}, view);
  for (std::size_t i = 0; i < plan.start; ++i) {
    start_container(pool, live);
  }
  for (std::size_t i = 0; i < plan.stop_idle; ++i) {
    stop(*idle[i], view.wanted ? StopReason::idle : StopReason::app_stopped, options_.stop_grace);
  }
  if (view.waiting == 0) {
    pool.demanded = Instant{};
  }
}

void Fleet::start_container(Pool& pool, std::shared_ptr<const model::FunctionSpec> spec) {
  auto container = std::make_shared<Container>();
  container->id = model::ContainerId(codec::random_container_id());
  container->spec = std::move(spec);
  container->created_at = wall_now();
  container->moments.demanded = pool.demanded == Instant{} ? monotonic_now() : pool.demanded;
  containers_[container->id] = container;
  pool.containers.insert(container->id);
  ++counters_.starts;
  container_tasks_.start("container " + container->id.str(), run(*this, container));
}

void Fleet::update_status(Container& container) {
  if (container.stopping()) {
    container.status = Status::stopping;
  } else if (container.reached_ready) {
    container.status = container.idle() ? Status::warm : Status::busy;
  }
}

// The poll of a container that asks for inputs answers `stop`; one that works finishes first, or is
// interrupted by the caller. kill_at bounds both.
void Fleet::stop(Container& container, StopReason reason, Duration grace) {
  if (!container.stopping()) {
    container.stop_reason = reason;
  }
  container.kill_at = std::min(container.kill_at, monotonic_now() + grace);
  if (!container.idle() && reason == StopReason::replaced) {
    container.kill_at = Instant::max();  // its calls keep their own time limits
  }
  update_status(container);
  container.wake.notify_all();
}

Result<std::shared_ptr<const model::FunctionSpec>> Fleet::spec_of(
    const model::ContainerId& id) const {
  const ContainerPtr container = find(id);
  if (!container) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  return container->spec;
}

void Fleet::said_hello(const model::ContainerId& id) {
  const ContainerPtr container = find(id);
  if (container && container->moments.hello == Instant{}) {
    container->moments.hello = monotonic_now();
    if (container->running) {
      container->moments.interpreter = container->running->interpreter_started();
    }
  }
}

void Fleet::became_ready(Pool& pool, Container& container) {
  if (container.reached_ready) {
    return;
  }
  container.reached_ready = true;
  container.moments.ready = monotonic_now();
  container.idle_since = container.moments.ready;
  learn(pool.start_time, container.moments.ready - container.moments.launching);
  pool.failures = 0;
  pool.no_start_before = Instant{};
  pool.port_ready.notify_all();
  // A container that starts makes room for the next start.
  for (const auto& [function, other] : pools_) {
    if (other->demanded != Instant{}) {
      dirty_.insert(function);
    }
  }
  dirtied_.notify_one();
  update_status(container);
}

async::Task<Poll> Fleet::next_inputs(model::ContainerId id, PollOptions options) {
  const ContainerPtr container = find(id);
  if (!container) {
    co_return Error::not_found("container " + id.str() + " has ended");
  }
  const std::shared_ptr<Pool> pool = shared_pool(container->spec->id);
  became_ready(*pool, *container);
  Poll poll;
  const std::size_t most =
      container->spec->scaling.use == model::Scaling::Use::single ? 1 : options.max;
  const bool spent =
      container->spec->scaling.use == model::Scaling::Use::single && container->calls_served > 0;
  if (spent && !container->stopping()) {
    stop(*container, StopReason::single_use, options_.stop_grace);
  }
  while (!container->stopping() && poll.inputs.empty()) {
    if (!serves_port(*container->spec)) {
      poll.inputs = parts_.queue.lease(container->spec->id, id, most);
    }
    if (!poll.inputs.empty() || monotonic_now() >= options.hold_until) {
      break;
    }
    pool->parked.push_back(container.get());
    const Result<bool> notified = co_await container->wake.wait(options.hold_until);
    pool->parked.remove(container.get());
    if (!notified) {
      co_return notified.error();
    }
  }
  if (!poll.inputs.empty() && options.linger > Duration::zero()) {
    const Instant until = monotonic_now() + options.linger;
    while (poll.inputs.size() < most && monotonic_now() < until && !container->stopping()) {
      THAW_CO_TRY([[maybe_unused]] const bool notified,
                  co_await parts_.queue.ready(container->spec->id).wait(until));
      auto more = parts_.queue.lease(container->spec->id, id, most - poll.inputs.size());
      std::move(more.begin(), more.end(), std::back_inserter(poll.inputs));
    }
  }
  const Instant now = monotonic_now();
  for (const queue::LeasedInput& input : poll.inputs) {
    container->inputs[input.input] = {input.call, now, now + container->spec->timeout};
  }
  if (container->inputs.size() == 1 && container->running) {
    const auto& [input, work] = *container->inputs.begin();
    container->running->label_output({work.call.str(), input.str()});
  }
  poll.stop = container->stopping() && poll.inputs.empty();
  update_status(*container);
  co_return poll;
}

async::Task<void> Fleet::finish(model::ContainerId id, model::InputId input,
                                model::Outcome outcome) {
  const ContainerPtr container = find(id);
  if (!container) {
    co_return Error::not_found("container " + id.str() + " has ended");
  }
  THAW_CO_TRY_VOID(co_await parts_.queue.complete(input, id, std::move(outcome)));
  const auto found = container->inputs.find(input);
  if (found == container->inputs.end()) {
    co_return ok();
  }
  Pool& pool = pool_of(container->spec->id);
  learn(pool.call_time, monotonic_now() - found->second.started);
  container->inputs.erase(found);
  ++container->calls_served;
  if (container->moments.first_output == Instant{}) {
    container->moments.first_output = monotonic_now();
  }
  container->idle_since = monotonic_now();
  if (container->inputs.empty() && container->running) {
    container->running->label_output({});
  }
  update_status(*container);
  co_return ok();
}

void Fleet::start_failed(const model::ContainerId& id, std::string payload) {
  if (const ContainerPtr container = find(id)) {
    container->failure = std::move(payload);
  }
}

async::Task<std::vector<model::InputId>> Fleet::wait_for_cancels(model::ContainerId id,
                                                                 Instant hold_until) {
  const ContainerPtr container = find(id);
  if (!container) {
    co_return Error::not_found("container " + id.str() + " has ended");
  }
  while (container->cancels.empty() && monotonic_now() < hold_until) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await container->wake.wait(hold_until));
  }
  co_return std::exchange(container->cancels, {});
}

void Fleet::refresh(const model::FunctionId& function) {
  pool_of(function).stopped = false;
  pool_of(function).failures = 0;
  pool_of(function).no_start_before = Instant{};
  dirty_.insert(function);
  dirtied_.notify_one();
}

Result<void> Fleet::stop_container(const model::ContainerId& id, StopHow how) {
  const ContainerPtr container = find(id);
  if (!container) {
    return Error::not_found("container " + id.str() + " does not exist or has ended");
  }
  stop(*container, StopReason::user,
       how == StopHow::graceful ? options_.stop_grace : options_.interrupt_grace);
  if (how == StopHow::now && container->running && !container->idle()) {
    return container->running->sandbox().signal(SIGINT);
  }
  return ok();
}

void Fleet::cancel_inputs(const std::vector<model::InputId>& inputs, StopHow how) {
  for (const auto& [id, container] : containers_) {
    for (const model::InputId& input : inputs) {
      if (!container->inputs.contains(input)) {
        continue;
      }
      if (how == StopHow::now) {
        stop(*container, StopReason::user, Duration::zero());
      } else {
        container->cancels.push_back(input);
        container->wake.notify_all();
      }
    }
  }
}

async::Task<Fleet::PortLease> Fleet::lease_port(model::FunctionId function, Instant deadline) {
  const std::shared_ptr<Pool> pool = shared_pool(function);
  while (true) {
    for (const model::ContainerId& id : pool->containers) {
      const ContainerPtr container = find(id);
      if (container->reached_ready && !container->stopping() && container->running &&
          container->proxied < slots(container->spec->scaling)) {
        ++container->proxied;
        update_status(*container);
        co_return PortLease{id, container->running->sandbox().address()};
      }
    }
    if (pool->demanded == Instant{}) {
      pool->demanded = monotonic_now();
    }
    ++pool->port_waiters;
    dirty_.insert(function);
    dirtied_.notify_one();
    const Result<bool> notified = co_await pool->port_ready.wait(deadline);
    --pool->port_waiters;
    if (!notified) {
      co_return notified.error();
    }
    if (!*notified) {
      co_return Error::deadline_exceeded("no container of " + function.str() +
                                         " was ready in time; see `thaw logs --starts`");
    }
    if (pool->failures > 0 && pool->containers.empty()) {
      co_return Error::unavailable("the function's container failed to start; see `thaw logs`");
    }
  }
}

void Fleet::return_port(const model::ContainerId& id) {
  const ContainerPtr container = find(id);
  if (!container) {
    return;
  }
  THAW_CHECK(container->proxied > 0);
  --container->proxied;
  ++container->calls_served;
  container->idle_since = monotonic_now();
  if (container->moments.first_output == Instant{}) {
    container->moments.first_output = container->idle_since;
  }
  update_status(*container);
  pool_of(container->spec->id).port_ready.notify_one();
}

std::size_t Fleet::running_count(const model::FunctionId& function) const {
  const auto found = pools_.find(function);
  return found == pools_.end() ? 0 : found->second->containers.size();
}

std::vector<ContainerView> Fleet::containers() const {
  std::vector<ContainerView> views;
  for (const auto& [id, c] : containers_) {
    ContainerView view{id,
                       c->spec,
                       c->status,
                       c->moments,
                       c->created_at,
                       c->inputs.size() + c->proxied,
                       c->calls_served,
                       0,
                       0,
                       "",
                       {}};
    if (c->running) {
      view.memory_bytes = c->running->sandbox().memory_bytes();
      view.pid = c->running->sandbox().pid();
    }
    view.lived = wall_now() - c->created_at;
    views.push_back(std::move(view));
  }
  std::sort(views.begin(), views.end(),
            [](const auto& a, const auto& b) { return a.created_at < b.created_at; });
  return views;
}

std::vector<ContainerView> Fleet::finished_starts() const {
  return {finished_.begin(), finished_.end()};
}

void Fleet::remember(const Container& c, std::string end) {
  finished_.push_back({c.id, c.spec, Status::stopped, c.moments, c.created_at, 0, c.calls_served, 0,
                       0, std::move(end), wall_now() - c.created_at});
  if (finished_.size() > options_.kept_starts) {
    finished_.pop_front();
  }
}

}  // namespace thaw::control
