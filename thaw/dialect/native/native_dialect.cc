// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/native/native_dialect.h"

#include "thaw/control/runtime.h"
#include "thaw/dialect/native/api.h"
#include "thaw/dialect/native/front.h"
#include "thaw/dialect/native/push_request.h"
#include "thaw/dialect/native/schedules.h"
#include "thaw/worker/worker.h"

namespace thaw::dialect::native {

namespace {

// A server is started as its image says; what it is told besides are its variables.
class NativeRuntime final : public control::Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& plan) override {
    THAW_CO_TRY(const Definition definition, read_definition(spec->definition));
    for (const auto& [name, value] : definition.env) {
      std::erase_if(plan.env, [&name = name](const std::string& entry) {
        return entry.starts_with(name + "=");
      });
      plan.env.push_back(name + "=" + value);
    }
    if (plan.snapshot_point) {
      // Nobody knows in what language it is.
      plan.snapshot_point->restored_signal = worker::restored_signal;
      plan.snapshot_point->renewal = worker::SnapshotPoint::Renewal::of_kits;
    }
    co_return ok();
  }
};

}  // namespace

NativeDialect::NativeDialect(const gateway::Owners& owners, Options options)
    : cx_(owners, options), runtime_(std::make_unique<NativeRuntime>()) {}

NativeDialect::~NativeDialect() = default;

void NativeDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add("/api/v1", [this](net::HttpExchange& exchange) { return serve_api(cx_, exchange); });
  routes.add("/fn", [this](net::HttpExchange& exchange) { return serve_fn(cx_, exchange); });
}

async::Task<void> NativeDialect::serve_web(net::HttpExchange& exchange, gateway::WebTarget target) {
  return serve_host(cx_, exchange, std::move(target));
}

Result<gateway::CallbackCall> NativeDialect::scheduled_call(const gateway::Route& route,
                                                            WallTime tick) {
  return call_at_tick(route, tick);
}

}  // namespace thaw::dialect::native
