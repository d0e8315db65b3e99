// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/inputs.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "thaw/control/metering.h"
#include "thaw/control/processor_load.h"

namespace thaw::control {

namespace {

// Its program pulls, and yet gets no inputs: what comes for it goes to its port.
bool pulls_for_its_port(const model::FunctionSpec& spec) {
  return !spec.push &&
         std::any_of(spec.web.begin(), spec.web.end(), [](const model::WebEndpoint& web) {
           return web.kind == model::WebEndpoint::Kind::server_port;
         });
}

bool is_its_own(const Container& container, const queue::LeasedInput& input) {
  const auto work = container.work.inputs.find(input.input);
  return work != container.work.inputs.end() && work->second.attempt == input.attempt;
}

// What a poll before was to bring, and what has not ended meanwhile.
std::vector<queue::LeasedInput> take_batch(Container& container) {
  std::vector<queue::LeasedInput> batch = std::exchange(container.work.batch, {});
  std::erase_if(batch, [&](const auto& input) { return !is_its_own(container, input); });
  return batch;
}

}  // namespace

async::Task<Poll> Inputs::next(model::ContainerId id, PollOptions options) {
  THAW_CO_TRY(const ContainerPtr container, parts_.pools.get(id));
  if (container->for_snapshot) {
    Poll past_the_point;  // its program took no notice of the snapshot point: it is of no use
    past_the_point.stop = true;
    co_return past_the_point;
  }
  if (container->stands_by) {
    parts_.starts.became_standby(*container);
    THAW_CO_TRY(const bool is_over, co_await stand_by(container, options.hold_until));
    if (!is_over) {
      co_return Poll{};
    }
  }
  const PoolPtr pool = parts_.pools.shared(container->target);
  parts_.starts.became_ready(*pool, *container);
  Poll poll;
  const std::size_t most =
      container->spec->scaling.use == model::Scaling::Use::single ? 1 : options.max;
  const bool spent = container->spec->scaling.use == model::Scaling::Use::single &&
                     container->work.calls_served > 0;
  if (spent && !container->stopping()) {
    parts_.pools.stop(*container, StopReason::single_use, parts_.pools.graces().stop);
  }
  poll.inputs = take_batch(*container);
  // One that stops is told so when its own port has answered what it was asked.
  while (poll.inputs.empty() && (!container->stopping() || container->work.proxied > 0)) {
    if (!container->stopping() && !pulls_for_its_port(*container->spec) &&
        has_room_for_inputs(*container)) {
      poll.inputs = lease(*container, most);
    }
    // The poll of a frozen container waits for ever: there is nobody to take the answer.
    const bool held = container->freezing.state != Freezing::State::no;
    if (!poll.inputs.empty() || (!held && monotonic_now() >= options.hold_until)) {
      break;
    }
    THAW_CO_TRY_VOID(co_await park(*pool, container, held ? Instant::max() : options.hold_until));
    poll.inputs = take_batch(*container);
  }
  const Instant until = monotonic_now() + options.linger;
  while (!poll.inputs.empty() && poll.inputs.size() < most && monotonic_now() < until &&
         !container->stopping()) {
    container->work.batch_room = most - poll.inputs.size();
    const Result<void> woken = co_await park(*pool, container, until);
    container->work.batch_room = 0;
    if (!woken) {
      take_back(id, std::move(poll.inputs));  // or released with the container
      co_return woken.error();
    }
    auto more = lease(*container, most - poll.inputs.size());
    std::move(more.begin(), more.end(), std::back_inserter(poll.inputs));
  }
  THAW_CO_TRY_VOID(co_await record_deliveries(container, poll.inputs));
  std::vector<Lost> lost;
  if (options.payloads == PollOptions::Payloads::whole) {
    auto found = co_await bring_payloads(poll.inputs);
    if (!found) {
      take_back(id, std::move(poll.inputs));
      co_return found.error();
    }
    lost = std::move(*found);
    if (container->status == Status::stopped) {
      co_return Error::not_found("container " + id.str() + " has ended");
    }
    std::erase_if(poll.inputs, [&](const auto& input) { return !is_its_own(*container, input); });
  }
  if (co_await async::is_cancelled()) {
    take_back(id, std::move(poll.inputs));
    co_return Error::cancelled("the connection of the poll is gone");
  }
  const Instant now = monotonic_now();
  for (const queue::LeasedInput& input : poll.inputs) {
    if (const auto work = container->work.inputs.find(input.input);
        work != container->work.inputs.end()) {
      work->second.started = now;
      work->second.run_for = input.run_for.value_or(container->spec->timeout);
      work->second.end_by = input.end_by;
      work->second.deadline = std::min(now + work->second.run_for, input.end_by);
      const auto before = std::exchange(work->second.delivery, RunningInput::Delivery::done);
      if (before == RunningInput::Delivery::to_come_cancelled) {
        container->work.cancels.push_back(input.input);
        container->wake.notify_all();
      }
    }
  }
  for (Lost& one : lost) {
    std::erase_if(poll.inputs, [&](const auto& input) { return input.input == one.input; });
    THAW_CO_TRY_VOID(co_await finish(id, one.input, std::move(one.outcome)));
  }
  if (container->work.inputs.size() == 1 && container->running) {
    const auto& [input, work] = *container->work.inputs.begin();
    container->running->label_output({work.call.str(), input.str()});
  }
  poll.stop = container->stopping() && container->work.proxied == 0 && poll.inputs.empty();
  parts_.pools.update(*container);
  co_return poll;
}

async::Task<std::vector<Inputs::Lost>> Inputs::bring_payloads(
    std::vector<queue::LeasedInput>& inputs) {
  std::vector<Lost> lost;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].payload.rest) {
      continue;
    }
    auto whole = co_await parts_.queue.payloads().whole(inputs[i].workspace, inputs[i].payload);
    if (whole) {
      inputs[i].payload = std::move(*whole);
      continue;
    }
    if (whole.error().code() == Code::cancelled) {
      co_return whole.error();
    }
    // What the disk does not give now it may give the next time.
    const bool is_gone = whole.error().code() == Code::data_loss;
    lost.push_back({inputs[i].input, model::failed(is_gone ? model::OutcomeKind::terminated
                                                           : model::OutcomeKind::internal_failure,
                                                   {.type = model::failure_type::input_damaged,
                                                    .message = whole.error().message(),
                                                    .retryable = true})});
  }
  co_return lost;
}

// A container begins only what is on record as an attempt: a server that is killed the moment after
// still knows. A disk that is full stops nobody; what it cannot record it says itself.
async::Task<void> Inputs::record_deliveries(ContainerPtr container,
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
                [&](const auto& input) { return !container->work.inputs.contains(input.input); });
  std::vector<queue::LeasedInput> once;
  std::copy_if(inputs.begin(), inputs.end(), std::back_inserter(once),
               [](const auto& input) { return input.is_only_delivery; });
  if (once.empty() || co_await parts_.queue.record(once)) {
    co_return ok();
  }
  // A server that is killed would deliver it again: it waits, for the next poll, until the disk
  // takes the record.
  std::erase_if(inputs, [](const auto& input) { return input.is_only_delivery; });
  container->work.batch.insert(container->work.batch.end(), once.begin(), once.end());
  if (inputs.empty()) {
    THAW_CO_TRY_VOID(co_await async::sleep_for(1s));
  }
  co_return ok();
}

// What is leased is the container's at once: it is not idle while its batch fills, and its end
// gives back what it was to run.
std::vector<queue::LeasedInput> Inputs::lease(Container& container, std::size_t most) {
  const queue::Taker taker{container.spec->version, parts_.pools.level_of(container)};
  std::vector<queue::LeasedInput> leased =
      parts_.queue.lease(container.target, container.id, most, taker);
  if (leased.empty()) {
    return leased;
  }
  const model::Level level = parts_.pools.awaken(container);
  for (const queue::LeasedInput& input : leased) {
    container.work.inputs[input.input] = {
        input.call,   monotonic_now(), Instant::max(), level, RunningInput::Delivery::to_come,
        input.attempt};
    container.work.inputs[input.input].line =
        parts_.pools.metering().begin(container, input, level);
  }
  parts_.pools.update(container);
  return leased;
}

void Inputs::take_back(const model::ContainerId& id, std::vector<queue::LeasedInput> inputs) {
  const ContainerPtr container = parts_.pools.find(id);
  if (!container || inputs.empty()) {
    return;
  }
  for (queue::LeasedInput& input : inputs) {
    if (!is_its_own(*container, input)) {
      continue;  // it has ended meanwhile
    }
    RunningInput& work = container->work.inputs.at(input.input);
    if (work.delivery == RunningInput::Delivery::done) {
      work.delivery = RunningInput::Delivery::to_come;
    }
    // A program that never asks again is not left with it for ever.
    const Duration patience = input.run_for.value_or(container->spec->timeout);
    work.deadline = std::min(monotonic_now() + patience, input.end_by);
    container->work.batch.push_back(std::move(input));
  }
  container->wake.notify_all();
}

async::Task<bool> Inputs::stand_by(ContainerPtr container, Instant until) {
  while (container->stands_by && !container->stopping()) {
    const bool held = container->freezing.state != Freezing::State::no;
    if (!held && monotonic_now() >= until) {
      co_return false;
    }
    ++container->work.parked_polls;
    const Result<bool> notified = co_await container->wake.wait(held ? Instant::max() : until);
    --container->work.parked_polls;
    THAW_CO_TRY_VOID(notified ? ok() : Result<void>(notified.error()));
    if (container->status == Status::stopped) {
      co_return Error::not_found("container " + container->id.str() + " has ended");
    }
  }
  co_return true;
}

// Waits until there may be inputs, the container is to stop, or the moment has come.
async::Task<void> Inputs::park(Pool& pool, ContainerPtr container, Instant until) {
  pool.parked.push_back(container.get());
  ++container->work.parked_polls;
  const Result<bool> notified = co_await container->wake.wait(until);
  --container->work.parked_polls;
  pool.parked.remove(container.get());
  if (container->work.parked_polls > 0 && container->status != Status::stopped) {
    pool.parked.push_back(container.get());  // for its other polls
  }
  if (!notified) {
    co_return notified.error();
  }
  if (container->status == Status::stopped) {
    co_return Error::not_found("container " + container->id.str() + " has ended");
  }
  co_return ok();
}

async::Task<void> Inputs::finish(model::ContainerId id, model::InputId input,
                                 model::Outcome outcome) {
  THAW_CO_TRY(const ContainerPtr container, parts_.pools.get(id));
  int attempt = 0;
  if (const auto work = container->work.inputs.find(input); work != container->work.inputs.end()) {
    if (work->second.delivery != RunningInput::Delivery::done) {
      co_return ok();  // of a delivery before this one, told twice: this one is still to come
    }
    attempt = work->second.attempt;
  }
  Metering& metering = parts_.pools.metering();
  const std::string_view kind = model::outcome_name(outcome.kind);
  const auto bytes = static_cast<std::int64_t>(outcome.payload.size());
  metering.owe(*container, input, outcome);
  THAW_CO_TRY_VOID(co_await parts_.queue.complete(input, id, std::move(outcome)));
  const auto found = container->work.inputs.find(input);
  // Its next try may be here already, and is not what has ended.
  if (found == container->work.inputs.end() || found->second.attempt != attempt) {
    co_return ok();
  }
  Pool& pool = parts_.pools.of(container->target);
  learn(pool.call_time, monotonic_now() - found->second.started);
  ++parts_.counters.answers[found->second.level];
  parts_.keep_alive.note_end(pool);
  metering.end(*container, found->second.line, {.outcome = kind, .bytes_out = bytes});
  container->work.inputs.erase(found);
  ++container->work.calls_served;
  pool.load.note_end();
  if (container->spec->push) {
    pool.port_ready.notify_one();  // a request that waits may have its slot
  }
  if (container->start.moments.first_output == Instant{}) {
    container->start.moments.first_output = monotonic_now();
    ProcessorLoad::note_first_answer(pool, *container);
  }
  container->work.idle_since = monotonic_now();
  if (container->work.inputs.empty()) {
    container->wake.notify_all();  // a heartbeat that waits for cancellations ends
  }
  if (container->work.inputs.empty() && container->running) {
    container->running->label_output({});
  }
  parts_.pools.update(*container);
  co_return ok();
}

async::Task<std::vector<model::InputId>> Inputs::wait_for_cancels(model::ContainerId id,
                                                                  Instant hold_until) {
  THAW_CO_TRY(const ContainerPtr container, parts_.pools.get(id));
  while (container->work.cancels.empty() && !container->work.inputs.empty() &&
         monotonic_now() < hold_until) {
    THAW_CO_TRY([[maybe_unused]] const bool notified, co_await container->wake.wait(hold_until));
  }
  co_return std::exchange(container->work.cancels, {});
}

void Inputs::cancel(const std::vector<model::InputId>& inputs, StopHow how) {
  for (const auto& [id, container] : parts_.pools.containers()) {
    for (const model::InputId& input : inputs) {
      const auto work = container->work.inputs.find(input);
      if (work == container->work.inputs.end()) {
        continue;
      }
      if (how == StopHow::now) {
        parts_.pools.stop(*container, StopReason::user, Duration::zero());
      } else if (work->second.delivery != RunningInput::Delivery::done) {
        work->second.delivery = RunningInput::Delivery::to_come_cancelled;
      } else {
        container->work.cancels.push_back(input);
        container->wake.notify_all();
      }
    }
  }
}

}  // namespace thaw::control
