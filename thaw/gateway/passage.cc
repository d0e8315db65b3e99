// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/passage.h"

#include <algorithm>
#include <chrono>

#include "thaw/async/task_group.h"

namespace thaw::gateway {

using async::Task;

namespace {

// How long an end takes to be known after its connection broke.
constexpr Duration end_patience = 1s;

// Gives the port back however the exchange ends.
struct PortReturn {
  control::Fleet& fleet;
  const control::PortLease& lease;
  control::PortUse use = control::PortUse::broken_off;
  ~PortReturn() { fleet.return_port(lease, use); }
};

// A container for a request: one that is free, or one that is waited for while the caller waits.
class PortWait {
 public:
  PortWait(async::Loop& loop, control::Fleet& fleet, net::HttpExchange& exchange,
           const Passage& passage)
      : fleet_(fleet), exchange_(exchange), passage_(passage), tasks_(loop) {}

  Task<control::PortAnswer> lease() {
    if (const auto free = fleet_.try_lease_port(passage_.served_by, asker_)) {
      co_return control::PortAnswer(*free);
    }
    waits_ = tasks_.start("wait for a port", wait());
    if (!over_) {
      watches_ = tasks_.start("port request's caller", watch());
    }
    const Result<bool> joined = co_await tasks_.join(Instant::max());
    if (!joined) {
      co_await async::forget_cancellation();
      (void)co_await tasks_.stop();
      if (outcome_ && std::holds_alternative<control::PortLease>(*outcome_)) {
        fleet_.return_port(std::get<control::PortLease>(*outcome_), control::PortUse::broken_off);
      }
      co_return joined.error();
    }
    co_return std::move(outcome_);
  }

 private:
  Task<void> wait() {
    outcome_ = co_await fleet_.lease_port(passage_.served_by,
                                          monotonic_now() + passage_.spec->startup_timeout, asker_);
    over_ = true;
    watches_.cancel();
    co_return ok();
  }
  // One who has left must not keep a container starting.
  Task<void> watch() {
    THAW_CO_TRY_VOID(co_await exchange_.until_gone());
    waits_.cancel();
    co_return ok();
  }

  control::Fleet& fleet_;
  net::HttpExchange& exchange_;
  const Passage& passage_;
  const control::PortAsker asker_{passage_.token, monotonic_now()};
  Result<control::PortAnswer> outcome_ = Error::cancelled("the caller has left");
  bool over_ = false;
  async::TaskGroup::Handle waits_;
  async::TaskGroup::Handle watches_;
  async::TaskGroup tasks_;
};

// WSGI and CGI give "x_forwarded_for" the name of "x-forwarded-for".
std::string with_dashes(std::string_view header) {
  std::string name(header);
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// A WebSocket to a plain server lives as long as both its ends want; whatever else is an exchange
// has the function's time limit.
Instant deadline_of(const model::FunctionSpec& spec, const net::HttpExchange& exchange) {
  return spec.push && exchange.is_websocket_upgrade() ? Instant::max()
                                                      : monotonic_now() + spec.timeout;
}

net::ProxyOptions options_of(const Passage& passage, PortReturn& port, Instant deadline) {
  net::ProxyOptions options;
  options.target = passage.target;
  options.deadline = deadline;
  options.add_headers = forwarded_headers(passage.origin);
  options.withholds = [&passage](std::string_view header) {
    const std::string name = with_dashes(header);
    const auto& push = passage.spec->push;
    const bool is_dropped = push && std::find(push->drop_headers.begin(), push->drop_headers.end(),
                                              name) != push->drop_headers.end();
    // A server may believe what it is told of its inputs.
    return is_dropped || name.starts_with("thaw-") || is_forwarded_header(name) ||
           (passage.withholds && passage.withholds(name));
  };
  options.edit_answer = [&passage, &port](net::Headers& headers) {
    port.use = control::PortUse::answered;
    keep_below(passage.origin, passage.root_path, headers);
    if (!passage.version_header.empty()) {
      std::erase_if(headers.fields,
                    [&](const auto& field) { return field.first == passage.version_header; });
      headers.add(passage.version_header, port.lease.version);
    }
  };
  return options;
}

}  // namespace

Task<std::optional<model::Outcome>> Passages::lead(net::HttpExchange& exchange, Passage passage) {
  const model::FunctionSpec& spec = *passage.spec;
  PortWait wait(loop_, fleet_, exchange, passage);
  THAW_CO_TRY(control::PortAnswer answer, co_await wait.lease());
  if (auto* failed = std::get_if<model::Outcome>(&answer)) {
    co_return std::move(*failed);
  }
  const auto lease = std::get<control::PortLease>(std::move(answer));
  PortReturn port{fleet_, lease};
  const Instant deadline = deadline_of(spec, exchange);
  net::Endpoint endpoint{lease.address, passage.port == 0 ? lease.port : passage.port, ""};
  if (lease.wire == model::PushContract::Wire::h2c) {
    endpoint.wire = net::Endpoint::Wire::h2c;
  }
  if (lease.level == model::Level::frozen) {
    // The server inside finds that its kept connections are over their time, and closes them.
    http_.forget(endpoint);
  }
  const Result<void> led =
      co_await http_.proxy(exchange, endpoint, options_of(passage, port, deadline));
  if (exchange.responded()) {
    port.use = control::PortUse::answered;
  }
  if (led) {
    co_return std::optional<model::Outcome>();
  }
  if (led.error().code() == Code::cancelled) {
    co_return led.error();
  }
  if (monotonic_now() >= deadline) {
    fleet_.note_timeout();
    if (port.use != control::PortUse::answered) {
      port.use = control::PortUse::timed_out;
    }
    const auto limit = std::chrono::duration_cast<std::chrono::seconds>(spec.timeout).count();
    co_return Error::deadline_exceeded(spec.name + " ran past its timeout of " +
                                       std::to_string(limit) + " s");
  }
  if (led.error().code() == Code::unavailable && !exchange.responded()) {
    const auto end = co_await fleet_.end_of(lease.container, monotonic_now() + end_patience);
    if (end && !end->empty()) {
      co_return Error::aborted(spec.name + ": " + *end + "; `thaw logs` shows what it printed");
    }
  }
  co_return led.error();
}

}  // namespace thaw::gateway
