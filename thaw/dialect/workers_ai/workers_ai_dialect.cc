// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/workers_ai/workers_ai_dialect.h"

#include <utility>

#include "thaw/codec/api_key.h"
#include "thaw/control/runtime.h"
#include "thaw/dialect/workers_ai/api.h"
#include "thaw/dialect/workers_ai/remote.h"

namespace thaw::dialect::workers_ai {

namespace {

// Clients want one; which it is makes no difference.
constexpr const char* any_account = "thaw";

// No function is of this dialect.
class NoRuntime final : public control::Runtime {
 public:
  async::Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> spec,
                                  worker::LaunchPlan& /*plan*/) override {
    co_return Error::failed_precondition("function " + spec->name +
                                         " was published by nobody who can start it");
  }
};

}  // namespace

WorkersAiDialect::WorkersAiDialect(const gateway::Owners& owners)
    : cx_(owners), runtime_(std::make_unique<NoRuntime>()) {
  cx_.owners.fleet.add_talk(completion_type, cx_.talk);
}

WorkersAiDialect::~WorkersAiDialect() = default;

void WorkersAiDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add(api_prefix, [this](net::HttpExchange& exchange) { return serve_api(cx_, exchange); });
  routes.add(remote_prefix,
             [this](net::HttpExchange& exchange) { return serve_remote(cx_, exchange); });
  for (const char* prefix : {"/run", "/ai-api", "/ai-gateway"}) {
    routes.add(prefix,
               [this](net::HttpExchange& exchange) { return serve_binding(cx_, exchange); });
  }
}

async::Task<void> WorkersAiDialect::serve_web(net::HttpExchange& /*exchange*/,
                                              gateway::WebTarget /*target*/) {
  co_return Error::not_found("runs of models have no address of their own");
}

std::map<std::string, std::string> WorkersAiDialect::client_environment(
    const gateway::BaseUrl& base, const gateway::NewToken& token) const {
  return {{"CLOUDFLARE_BASE_URL", base + api_prefix},
          {"CLOUDFLARE_API_TOKEN", codec::api_key_text("", {token.id.str(), token.secret})},
          {"CLOUDFLARE_ACCOUNT_ID", any_account}};
}

}  // namespace thaw::dialect::workers_ai
