// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/replicate_dialect.h"

#include <utility>

#include "thaw/codec/api_key.h"
#include "thaw/control/runtime.h"
#include "thaw/dialect/replicate/api.h"
#include "thaw/dialect/replicate/files.h"
#include "thaw/dialect/replicate/prediction.h"

namespace thaw::dialect::replicate {

namespace {

// As keys of that cloud begin.
constexpr const char* key_prefix = "r8_";

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

ReplicateDialect::ReplicateDialect(const gateway::Owners& owners, Options options)
    : cx_(owners, options), runtime_(std::make_unique<NoRuntime>()) {
  cx_.owners.fleet.add_talk(gateway::prediction_type, cx_.talk);
  cx_.owners.fleet.add_talk(gateway::whole_prediction_type, cx_.talk);
}

ReplicateDialect::~ReplicateDialect() = default;

void ReplicateDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add(api_prefix, [this](net::HttpExchange& exchange) { return serve_api(cx_, exchange); });
}

void ReplicateDialect::add_signed_routes(gateway::HttpRouter& routes) {
  routes.add_signed(
      signed_files_prefix,
      [this](net::HttpExchange& exchange) { return serve_signed_file(cx_, exchange); },
      [this](const net::HttpRequest& request) { return cx_.file_urls.is_genuine(request.target); });
}

async::Task<void> ReplicateDialect::serve_web(net::HttpExchange& /*exchange*/,
                                              gateway::WebTarget /*target*/) {
  co_return Error::not_found("predictions have no address of their own");
}

void ReplicateDialect::find_references(std::string_view payload,
                                       std::vector<std::string>& names) const {
  find_files(payload, names);
}

std::map<std::string, std::string> ReplicateDialect::client_environment(
    const gateway::BaseUrl& base, const gateway::NewToken& token) const {
  // Clients put /v1 behind it.
  return {{"REPLICATE_BASE_URL", base + "/replicate"},
          {"REPLICATE_API_TOKEN", codec::api_key_text(key_prefix, {token.id.str(), token.secret})}};
}

}  // namespace thaw::dialect::replicate
