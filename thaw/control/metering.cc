// SPDX-License-Identifier: Apache-2.0
#include "thaw/control/metering.h"

#include <algorithm>

#include "thaw/async/every.h"
#include "thaw/base/log.h"
#include "thaw/meter/line_codec.h"

namespace thaw::control {

namespace {

constexpr Duration write_period = 1s;
constexpr Duration look_period = 10s;

// What it is while it has no work; the meter itself knows what is busy.
meter::State state_of(const Container& container) {
  if (container.freezing.state == Freezing::State::yes) {
    return meter::State::frozen;
  }
  if (container.stopping()) {
    return meter::State::ending;
  }
  return container.start.reached_ready ? meter::State::idle : meter::State::starting;
}

std::uint64_t held_bytes(const Container& container) {
  const std::uint64_t asked = container.spec->resources.memory_bytes;
  return container.running ? std::max(asked, container.running->memory_bytes()) : asked;
}

std::int64_t micros(Duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

std::string id_of(const model::InputId& input, int attempt) {
  return input.str() + "#" + std::to_string(attempt);
}

}  // namespace

void Metering::came(const Container& container, meter::Cause cause) {
  if (!is_on()) {
    return;
  }
  meter::SpanFacts facts;
  facts.container = container.id;
  facts.workspace = container.spec->workspace;
  facts.function = container.spec->id;
  facts.function_name = container.spec->name;
  facts.version = container.spec->version;
  facts.node = "local";  // there is one machine
  facts.cause = cause;
  facts.began = container.created_at;
  meter_.open(std::move(facts), container.spec->resources.memory_bytes);
}

void Metering::changed(const Container& container, Instant now) {
  if (!is_on()) {
    return;
  }
  const meter::State state = state_of(container);
  meter_.enter(container.id, state, now);
  // What it holds once it is ready, and not only at the next look.
  if (state == meter::State::idle && container.measured.memory_seen == Instant{}) {
    sample(container, now);
  }
}

void Metering::sample(const Container& container, Instant now) {
  if (meter_.knows(container.id) && container.running) {
    meter_.sample(container.id, micros(container.running->processor_time()), held_bytes(container),
                  now);
  }
}

void Metering::ended(const Container& container, Instant now) {
  if (!is_on()) {
    return;
  }
  if (container.running) {  // its cgroup is still there
    meter_.sample(container.id, micros(container.running->processor_time()), held_bytes(container),
                  now);
  }
  const std::string end = container.ending.why.empty()
                              ? std::string(stop_reason_name(container.ending.reason))
                              : container.ending.why;
  meter_.close(container.id, end.empty() ? "it ended by itself" : end,
               model::outcome_name(model::OutcomeKind::internal_failure), now);
}

std::uint64_t Metering::begin(const Container& container, const queue::LeasedInput& input,
                              model::Level level) {
  if (!is_on()) {
    return 0;
  }
  meter::LineStart start;
  start.id = id_of(input.input, input.attempt);
  start.call = input.call;
  start.attempt = input.attempt;
  start.token = input.token;
  start.front = container.spec->dialect;
  start.origin = input.origin;
  start.level = level;
  start.queued_us = std::max<std::int64_t>(0, micros(wall_now() - input.enqueued_at));
  start.bytes_in = static_cast<std::int64_t>(input.payload.size());
  const std::uint64_t line = meter_.begin(container.id, std::move(start), monotonic_now());
  if (input.durability == model::Durability::durable) {
    meter_.is_owed(container.id, line);
  }
  return line;
}

std::uint64_t Metering::begin(const Container& container, const model::TokenId& token,
                              model::Level level, Duration queued) {
  if (!is_on()) {
    return 0;
  }
  meter::LineStart start;
  start.id = container.id.str() + "/" + std::to_string(++exchanges_);
  start.kind = meter::LineStart::Kind::exchange;
  start.token = token;
  start.front = container.spec->dialect;
  start.origin = model::Origin::web;
  start.level = level;
  start.queued_us = std::max<std::int64_t>(0, micros(queued));
  return meter_.begin(container.id, std::move(start), monotonic_now());
}

void Metering::owe(const Container& container, const model::InputId& input,
                   const model::Outcome& outcome) {
  const auto work = container.work.inputs.find(input);
  if (!is_on() || work == container.work.inputs.end()) {
    return;
  }
  const meter::LineEnd end{.outcome = model::outcome_name(outcome.kind),
                           .bytes_out = static_cast<std::int64_t>(outcome.payload.size())};
  const auto line = meter_.look(container.id, work->second.line, end, monotonic_now());
  if (line && line->start.is_owed) {
    parts_.queue.owe(input, container.id, {line->start.id, meter::write_line(*line)});
  }
}

void Metering::end(const Container& container, std::uint64_t line, const meter::LineEnd& end) {
  if (line != 0) {
    meter_.end(container.id, line, end, monotonic_now());
  }
}

async::Task<void> Metering::write(meter::Meter::Which which) {
  const auto group =
      std::make_shared<const meter::Group>(meter_.take(which, monotonic_now(), wall_now()));
  if (group->empty()) {
    co_return ok();
  }
  const Result<void> written = co_await parts_.ledger->write(group);
  if (!written) {
    meter_.not_written(*group);
    log_warning("the ledger is not written now; what has ended waits",
                {{"lines", std::to_string(meter_.waiting_lines())},
                 {"containers", std::to_string(meter_.open_spans())},
                 {"lost", std::to_string(meter_.counters().lost)}});
    co_return written;
  }
  meter_.written(*group);
  std::vector<std::string> owed;
  for (const meter::Line& line : group->lines) {
    if (line.start.is_owed) {
      owed.push_back(line.start.id);
    }
  }
  parts_.queue.settle(std::move(owed));
  co_return ok();
}

async::Task<void> Metering::loop(Metering& self) {
  return async::every(write_period, "ledger", [&self]() -> async::Task<void> {
    const Instant now = monotonic_now();
    if (now - self.looked_ < look_period) {
      return self.write(meter::Meter::Which::ended);
    }
    self.looked_ = now;
    self.parts_.sample();
    return self.write(meter::Meter::Which::all);
  });
}

async::Task<void> Metering::write_all() {
  if (!is_on()) {
    co_return ok();
  }
  co_return co_await write(meter::Meter::Which::all);
}

}  // namespace thaw::control
