// SPDX-License-Identifier: Apache-2.0
// What a container says and asks for: hello, inputs, outputs, cancellations; and the leases of
// containers whose own port is asked.
#include <algorithm>
#include <utility>

#include "thaw/base/check.h"
#include "thaw/control/fleet.h"
#include "thaw/control/pool.h"
#include "thaw/worker/machine.h"

namespace thaw::control {

namespace {

// A running mean that follows the last dozen values.
void learn(Duration& mean, Duration value) {
  mean = mean == Duration::zero() ? value : (mean * 7 + value) / 8;
}

// The time of such a start says nothing about the level that it ended with.
bool tried_in_vain(const std::vector<worker::Fallback>& fallbacks) {
  return std::any_of(fallbacks.begin(), fallbacks.end(), [](const worker::Fallback& fallback) {
    return fallback.tried == worker::Fallback::Tried::in_vain ||
           fallback.tried == worker::Fallback::Tried::failed;
  });
}

bool serves_port(const model::FunctionSpec& spec) {
  return std::any_of(spec.web.begin(), spec.web.end(), [](const model::WebEndpoint& web) {
    return web.kind == model::WebEndpoint::Kind::server_port;
  });
}

}  // namespace

Result<std::shared_ptr<const model::FunctionSpec>> Fleet::spec_of(
    const model::ContainerId& id) const {
  const ContainerPtr container = find(id);
  if (!container) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  return container->spec;
}

Result<int> Fleet::pid_of(const model::ContainerId& id) const {
  const ContainerPtr container = find(id);
  if (!container || !container->running) {
    return Error::not_found("container " + id.str() + " has ended");
  }
  return container->running->sandbox().pid();
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

// More containers are starting than the machine can start at their own pace.
bool Fleet::is_crowded() const {
  const auto starting = std::count_if(containers_.begin(), containers_.end(), [](const auto& c) {
    return !c.second->reached_ready && !c.second->for_snapshot;
  });
  return starting > 1 + static_cast<std::ptrdiff_t>(worker::processor_count() / 2);
}

void Fleet::became_ready(Pool& pool, Container& container) {
  if (container.reached_ready) {
    return;
  }
  const bool in_a_crowd = container.in_a_crowd || is_crowded();
  container.reached_ready = true;
  container.moments.ready = monotonic_now();
  container.idle_since = container.moments.ready;
  note_ready_load(pool, container);
  const Duration start = container.moments.ready - container.moments.launching;
  learn(pool.start_time, start);
  if (!in_a_crowd && container.running && !tried_in_vain(container.running->fallbacks())) {
    parts_.measurements.started(container.spec->version, container.level, start);
  }
  if (container.restored_from) {
    snapshots_.succeeded(std::exchange(container.restored_from, nullptr));
  } else {
    snapshots_.started(container.spec, container.snapshot_key);
  }
  pool.failures = 0;
  pool.no_start_before = Instant{};
  pool.known_failure.reset();
  pool.port_ready.notify_all();
  look_at_who_waits();  // a container that has started makes room for the next start
  update_status(container);
}

async::Task<Poll> Fleet::next_inputs(model::ContainerId id, PollOptions options) {
  const ContainerPtr container = find(id);
  if (!container) {
    co_return Error::not_found("container " + id.str() + " has ended");
  }
  if (container->for_snapshot) {
    Poll past_the_point;  // its program took no notice of the snapshot point: it is of no use
    past_the_point.stop = true;
    co_return past_the_point;
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
  poll.inputs = std::exchange(container->batch, {});
  // One that stops is told so when its own port has answered what it was asked.
  while (poll.inputs.empty() && (!container->stopping() || container->proxied > 0)) {
    if (!serves_port(*container->spec)) {
      poll.inputs = lease(*container, most);
    }
    // The poll of a frozen container waits for ever: there is nobody to take the answer.
    const bool held = container->frozen != Container::Frozen::no;
    if (!poll.inputs.empty() || (!held && monotonic_now() >= options.hold_until)) {
      break;
    }
    THAW_CO_TRY_VOID(co_await park(*pool, container, held ? Instant::max() : options.hold_until));
  }
  const Instant until = monotonic_now() + options.linger;
  while (!poll.inputs.empty() && poll.inputs.size() < most && monotonic_now() < until &&
         !container->stopping()) {
    container->batch_room = most - poll.inputs.size();
    const Result<void> woken = co_await park(*pool, container, until);
    container->batch_room = 0;
    if (!woken) {
      container->batch = std::move(poll.inputs);  // the next poll's, or released with the container
      co_return woken.error();
    }
    auto more = lease(*container, most - poll.inputs.size());
    std::move(more.begin(), more.end(), std::back_inserter(poll.inputs));
  }
  THAW_CO_TRY_VOID(co_await record_deliveries(container, poll.inputs));
  const Instant now = monotonic_now();
  for (const queue::LeasedInput& input : poll.inputs) {
    if (const auto work = container->inputs.find(input.input); work != container->inputs.end()) {
      work->second.started = now;
      work->second.deadline = now + container->spec->timeout;
      const auto before = std::exchange(work->second.delivery, RunningInput::Delivery::done);
      if (before == RunningInput::Delivery::to_come_cancelled) {
        container->cancels.push_back(input.input);
        container->wake.notify_all();
      }
    }
  }
  if (container->inputs.size() == 1 && container->running) {
    const auto& [input, work] = *container->inputs.begin();
    container->running->label_output({work.call.str(), input.str()});
  }
  poll.stop = container->stopping() && container->proxied == 0 && poll.inputs.empty();
  update_status(*container);
  co_return poll;
}

// A container begins only what is on record as an attempt: a server that is killed the moment after
// still knows. A disk that is full stops nobody; what it cannot record it says itself.
async::Task<void> Fleet::record_deliveries(ContainerPtr container,
                                           std::vector<queue::LeasedInput>& inputs) {
  const bool is_durable = std::any_of(inputs.begin(), inputs.end(), [](const auto& input) {
    return input.durability == model::Durability::durable;
  });
  if (!is_durable) {
    co_return ok();
  }
  [[maybe_unused]] const Result<void> recorded = co_await parts_.queue.recorded();
  if (container->status == Status::stopped) {
    co_return Error::not_found("container " + container->id.str() + " has ended");
  }
  // What has ended meanwhile, past its call's time or with its app, is nobody's any more.
  std::erase_if(inputs,
                [&](const auto& input) { return !container->inputs.contains(input.input); });
  co_return ok();
}

// What is leased is the container's at once: it is not idle while its batch fills, and its end
// gives back what it was to run.
std::vector<queue::LeasedInput> Fleet::lease(Container& container, std::size_t most) {
  std::vector<queue::LeasedInput> leased =
      parts_.queue.lease(container.spec->id, container.id, most);
  if (leased.empty()) {
    return leased;
  }
  const model::Level level = awaken(container);
  for (const queue::LeasedInput& input : leased) {
    container.inputs[input.input] = {input.call, monotonic_now(), Instant::max(), level};
  }
  update_status(container);
  return leased;
}

// Waits until there may be inputs, the container is to stop, or the moment has come.
async::Task<void> Fleet::park(Pool& pool, ContainerPtr container, Instant until) {
  pool.parked.push_back(container.get());
  ++container->parked_polls;
  const Result<bool> notified = co_await container->wake.wait(until);
  --container->parked_polls;
  pool.parked.remove(container.get());
  if (!notified) {
    co_return notified.error();
  }
  if (container->status == Status::stopped) {
    co_return Error::not_found("container " + container->id.str() + " has ended");
  }
  co_return ok();
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
  ++counters_.answers[found->second.level];
  note_end(pool);
  container->inputs.erase(found);
  ++container->calls_served;
  pool.load.note_end();
  if (container->moments.first_output == Instant{}) {
    container->moments.first_output = monotonic_now();
    note_first_answer(pool, *container);
  }
  container->idle_since = monotonic_now();
  if (container->inputs.empty()) {
    container->wake.notify_all();  // a heartbeat that waits for cancellations ends
  }
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
  while (container->cancels.empty() && !container->inputs.empty() && monotonic_now() < hold_until) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await container->wake.wait(hold_until));
  }
  co_return std::exchange(container->cancels, {});
}

std::optional<Fleet::PortLease> Fleet::try_lease_port(const model::FunctionId& function) {
  Pool& pool = pool_of(function);
  note_arrival(pool);
  return free_port(pool);
}

std::optional<Fleet::PortLease> Fleet::free_port(Pool& pool) {
  ContainerPtr chosen;  // a frozen one only if all are
  for (const model::ContainerId& id : pool.containers) {
    const ContainerPtr container = find(id);
    if (container->reached_ready && !container->stopping() &&
        container->status != Status::stopped && container->running &&
        container->proxied < slots(container->spec->scaling) &&
        (!chosen || chosen->frozen == Container::Frozen::yes)) {
      chosen = container;
    }
  }
  if (!chosen) {
    return std::nullopt;
  }
  const model::Level level = awaken(*chosen);
  ++chosen->proxied;
  update_status(*chosen);
  return PortLease{chosen->id, chosen->running->sandbox().address(), level};
}

async::Task<Fleet::PortLease> Fleet::lease_port(model::FunctionId function, Instant deadline) {
  const std::shared_ptr<Pool> pool = shared_pool(function);
  const std::uint64_t verdicts_before = pool->start_verdicts;
  if (pool->port_waiters >= options_.max_port_waiters) {
    co_return Error::resource_exhausted(std::to_string(pool->port_waiters) +
                                        " requests wait for a container already");
  }
  while (true) {
    if (const std::optional<PortLease> lease = free_port(*pool)) {
      co_return *lease;
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
      pool->port_ready.notify_one();  // whom it was to wake, if it was to wake this one
      if (shutting_down_) {
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
    if (shutting_down_) {
      co_return Error::unavailable("the server is stopping");
    }
    if (pool->start_verdicts != verdicts_before) {
      // Not when no container is left: another request's next try may have begun meanwhile.
      co_return Error::failed_precondition(pool->last_verdict);
    }
  }
}

void Fleet::return_port(const PortLease& lease) {
  const ContainerPtr container = find(lease.container);
  ++counters_.answers[lease.level];
  if (!container) {
    return;
  }
  THAW_CHECK(container->proxied > 0);
  --container->proxied;
  if (container->proxied == 0) {
    container->wake.notify_all();  // the poll of one that stops ends
  }
  ++container->calls_served;
  container->idle_since = monotonic_now();
  if (container->moments.first_output == Instant{}) {
    container->moments.first_output = container->idle_since;
  }
  update_status(*container);
  Pool& pool = pool_of(container->spec->id);
  pool.load.note_end();
  note_end(pool);
  pool.port_ready.notify_one();
}

}  // namespace thaw::control
