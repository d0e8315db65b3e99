// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/web_port.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "thaw/async/task_group.h"

namespace thaw::dialect::modal {

using async::Task;

namespace {

// Gives the port back however the exchange ends.
struct PortReturn {
  control::Fleet& fleet;
  control::Fleet::PortLease lease;
  ~PortReturn() { fleet.return_port(lease); }
};

// A container for a request: one that is free, or one that is waited for while the caller waits.
class PortWait {
 public:
  PortWait(Context& cx, net::HttpExchange& exchange, const model::FunctionSpec& spec)
      : cx_(cx), exchange_(exchange), spec_(spec), tasks_(cx.parts.loop) {}

  Task<control::Fleet::PortLease> lease() {
    if (const auto free = cx_.fleet->try_lease_port(spec_.id)) {
      co_return *free;
    }
    waits_ = tasks_.start("wait for a port", wait());
    if (!over_) {
      watches_ = tasks_.start("port request's caller", watch());
    }
    const Result<bool> joined = co_await tasks_.join(Instant::max());
    if (!joined) {
      co_await async::forget_cancellation();
      (void)co_await tasks_.stop();
      if (outcome_) {
        cx_.fleet->return_port(*outcome_);
      }
      co_return joined.error();
    }
    co_return std::move(outcome_);
  }

 private:
  Task<void> wait() {
    outcome_ = co_await cx_.fleet->lease_port(spec_.id, monotonic_now() + spec_.startup_timeout);
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

  Context& cx_;
  net::HttpExchange& exchange_;
  const model::FunctionSpec& spec_;
  Result<control::Fleet::PortLease> outcome_ = Error::cancelled("the caller has left");
  bool over_ = false;
  async::TaskGroup::Handle waits_;
  async::TaskGroup::Handle watches_;
  async::TaskGroup tasks_;
};

// What callers of other kinds of endpoints are told of a start that failed.
Task<void> answer_failed_start(net::HttpExchange& exchange, const std::string& payload) {
  pb::FunctionGetOutputsItem item;
  const bool is_known = item.ParseFromString(payload) && !item.result().exception().empty();
  co_return co_await exchange.answer(
      status_of(item.result()), "application/json",
      error_body(is_known ? item.result().exception()
                          : "the function's container failed to start; see `thaw logs`"));
}

}  // namespace

bool is_withheld(std::string_view header) {
  // WSGI and CGI give "x_forwarded_for" the name of "x-forwarded-for".
  std::string name(header);
  std::replace(name.begin(), name.end(), '_', '-');
  return name == key_header || name == secret_header || gateway::is_forwarded_header(name);
}

Task<void> serve_port(Context& cx, net::HttpExchange& exchange,
                      std::shared_ptr<const model::FunctionSpec> spec, model::WebEndpoint web,
                      std::string path, std::string root_path) {
  PortWait wait(cx, exchange, *spec);
  auto leased = co_await wait.lease();
  if (!leased && leased.error().code() == Code::failed_precondition) {
    co_return co_await answer_failed_start(exchange, leased.error().message());
  }
  THAW_CO_TRY(const control::Fleet::PortLease lease, std::move(leased));
  const PortReturn give_back{*cx.fleet, lease};
  net::ProxyOptions options;
  const std::string_view query = exchange.request().query();
  options.target = query.empty() ? path : path + "?" + std::string(query);
  options.deadline = monotonic_now() + spec->timeout;
  const gateway::WebOrigin origin = cx.settings.proxies.origin_of(exchange.request());
  options.add_headers = gateway::forwarded_headers(origin);
  options.withholds = is_withheld;
  options.edit_answer = [origin, root_path = std::move(root_path)](net::Headers& headers) {
    gateway::keep_below(origin, root_path, headers);
  };
  net::Endpoint endpoint{lease.address, web.port, ""};
  if (lease.level == model::Level::frozen) {
    // The server inside finds that its kept connections are over their time, and closes them.
    cx.parts.http.forget(endpoint);
  }
  const Instant deadline = options.deadline;
  Result<void> outcome = co_await cx.parts.http.proxy(exchange, endpoint, std::move(options));
  if (!outcome && outcome.error().code() != Code::cancelled && monotonic_now() >= deadline) {
    cx.fleet->note_timeout();
    const auto limit = std::chrono::duration_cast<std::chrono::seconds>(spec->timeout).count();
    co_return Error::deadline_exceeded(spec->name + " ran past its timeout of " +
                                       std::to_string(limit) + " s");
  }
  co_return outcome;
}

}  // namespace thaw::dialect::modal
