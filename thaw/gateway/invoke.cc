// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/invoke.h"

#include <utility>

#include "thaw/codec/ids.h"

namespace thaw::gateway {

using async::Task;

std::optional<Published> Invoke::find(const catalog::Scope& scope, const std::string& dialect,
                                      const std::string& name) const {
  const auto environment = scope.environment_named("");
  const auto app = environment ? scope.deployed_app((*environment)->id, name) : nullptr;
  const auto member = app ? app->functions.find(name) : decltype(app->functions.end()){};
  const auto function =
      app && member != app->functions.end() ? scope.function(member->second.str()) : nullptr;
  const auto spec = function ? function->live() : nullptr;
  if (!spec || spec->dialect != dialect) {
    return std::nullopt;
  }
  return Published{app, function, spec};
}

model::NewCall Invoke::new_call(const Route& route) {
  model::NewCall call;
  call.id = model::CallId(codec::random_id("fc"));
  call.workspace = route.spec->workspace;
  call.app = route.spec->app;
  call.function = route.target.function;
  call.version = route.target.version;
  call.retry = route.spec->retry;
  return call;
}

Task<queue::Created> Invoke::create(model::NewCall call, std::vector<model::NewInput> inputs,
                                    std::optional<queue::Once> once) {
  const KeptVersions::Hold hold(parts_.versions, call.target());
  if (once) {
    co_return co_await parts_.queue.create_once(std::move(call), std::move(inputs),
                                                std::move(*once));
  }
  queue::Created created;
  created.id = call.id;
  THAW_CO_TRY(created.inputs, co_await parts_.queue.create(std::move(call), std::move(inputs)));
  co_return created;
}

Task<std::optional<queue::CallInfo>> Invoke::find_call(Identity who, model::CallId call) {
  using Found = std::optional<queue::CallInfo>;
  auto info = co_await parts_.queue.info(call);  // all workspaces: it is looked at here
  if (!info && info.error().code() != Code::not_found) {
    co_return info.error();
  }
  if (!info || info->call.workspace != who.workspace) {
    co_return Found();
  }
  // A call outlives its app; of a container's own app none is ever another's.
  if (!who.environment.empty()) {
    const auto runs = parts_.fleet.spec_of(who.container);
    const bool is_inside = scope_of(parts_.catalog, who).app(info->call.app.str()) != nullptr ||
                           (runs && (*runs)->app == info->call.app);
    if (!is_inside) {
      co_return Found();
    }
  }
  if (who.grants.is_narrow()) {
    // all workspaces: the call is of the asker's
    const auto function = parts_.catalog.functions.find(info->call.function.str());
    const catalog::Scope scope = scope_of(parts_.catalog, who);
    if (!scope.names(info->call.app, function ? function->tag : std::string())) {
      co_return Found();
    }
  }
  co_return Found(std::move(*info));
}

Task<std::vector<model::LogEntry>> Invoke::ends(model::CallId call, std::size_t most,
                                                Instant until) {
  std::function<bool(const model::LogEntry&)> wanted = [](const model::LogEntry& entry) {
    return entry.kind == model::LogEntry::Kind::final_;
  };
  co_return co_await parts_.queue.read(std::move(call), 0, most, until, std::move(wanted));
}

Task<void> Invoke::cancel(model::CallId call, control::Fleet::StopHow how) {
  THAW_CO_TRY(const std::vector<model::InputId> running,
              co_await parts_.queue.cancel(std::move(call)));
  parts_.fleet.cancel_inputs(running, how);
  co_return ok();
}

}  // namespace thaw::gateway
