// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/registry_dialect.h"

#include "thaw/control/runtime.h"
#include "thaw/dialect/registry/blobs.h"
#include "thaw/dialect/registry/cloud_names.h"
#include "thaw/dialect/registry/lists.h"
#include "thaw/dialect/registry/manifests.h"
#include "thaw/dialect/registry/refusal.h"
#include "thaw/dialect/registry/token_service.h"
#include "thaw/dialect/registry/uploads.h"

namespace thaw::dialect::registry {

using async::Task;

namespace {

class NoRuntime final : public control::Runtime {
 public:
  Task<void> complete_plan(std::shared_ptr<const model::FunctionSpec> /*spec*/,
                           worker::LaunchPlan& /*plan*/) override {
    co_return Error::unimplemented("the registry of images has no functions");
  }
};

// What somebody has to be let do for this request; of the base and the catalog nothing but to be
// known.
Actions needed_for(const std::string& method, Route::Kind kind) {
  if (kind == Route::Kind::uploads || kind == Route::Kind::upload) {
    return {.push = true};
  }
  if (method == "DELETE") {
    return {.erase = true};
  }
  return method == "GET" || method == "HEAD" ? Actions{.pull = true} : Actions{.push = true};
}

Task<void> serve_base(net::HttpExchange& exchange) {
  net::Headers headers;
  headers.add("docker-distribution-api-version", "registry/2.0");
  headers.add("content-type", "application/json");
  headers.add("content-length", "2");
  std::string body = exchange.request().method == "HEAD" ? "" : "{}";
  co_return co_await exchange.respond_whole(200, std::move(headers), std::move(body));
}

Task<void> serve_route(const Context& cx, Asker asker, Route route, net::HttpExchange& exchange) {
  using Kind = Route::Kind;
  switch (route.kind) {
    case Kind::base: return serve_base(exchange);
    case Kind::token: return serve_token(cx, exchange);
    case Kind::catalog: return serve_catalog(cx, std::move(asker), std::move(route), exchange);
    case Kind::uploads: return serve_uploads(cx, std::move(asker), std::move(route), exchange);
    case Kind::upload: return serve_upload(cx, std::move(asker), std::move(route), exchange);
    case Kind::blob: return serve_blob(cx, std::move(asker), std::move(route), exchange);
    case Kind::manifest: return serve_manifest(cx, std::move(asker), std::move(route), exchange);
    case Kind::tags: return serve_tags(cx, std::move(asker), std::move(route), exchange);
    case Kind::referrers: return serve_referrers(cx, std::move(asker), std::move(route), exchange);
  }
  return serve_base(exchange);
}

}  // namespace

RegistryDialect::RegistryDialect(const gateway::Owners& owners, gateway::ImageTaker& taker)
    : cx_(owners, taker), runtime_(std::make_unique<NoRuntime>()) {
  owners.registry.stands_in = repository_for;
}

RegistryDialect::~RegistryDialect() = default;

void RegistryDialect::add_routes(gateway::HttpRouter& routes) {
  routes.add("/v2", [this](net::HttpExchange& exchange) { return serve(exchange); });
}

Task<void> RegistryDialect::serve_web(net::HttpExchange& exchange, gateway::WebTarget /*target*/) {
  co_return co_await exchange.answer_error(Error::not_found("the registry has no functions"));
}

Task<void> RegistryDialect::serve(net::HttpExchange& exchange) {
  const net::HttpRequest& request = exchange.request();
  Result<Route> route = read_route(request.path());
  if (route && route->kind == Route::Kind::token) {
    co_return co_await serve_token(cx_, exchange);
  }
  // Who is not known is not told which paths there are.
  const bool is_of_one = route && !route->repository.empty();
  const Actions needed = is_of_one ? needed_for(request.method, route->kind) : Actions{};
  const bool is_catalog = route && route->kind == Route::Kind::catalog;
  const std::string wanted = is_of_one    ? write_scope({route->repository, needed})
                             : is_catalog ? std::string(catalog_scope)
                                          : "";
  Result<Asker> asker = find_asker(cx_, request);
  if (!asker && asker.error().code() == Code::unauthenticated) {
    co_return co_await challenge(cx_, exchange, wanted, asker.error());
  }
  if (!asker) {
    co_return co_await refuse(exchange, refusal_of(cx_, asker.error(), "DENIED"));
  }
  if (!route) {
    const bool is_name = route.error().code() == Code::invalid_argument;
    co_return co_await refuse(
        exchange,
        {is_name ? 400 : 404, is_name ? "NAME_INVALID" : "UNSUPPORTED", route.error().message()});
  }
  if (!asker->actions.covers(needed)) {
    co_return co_await refuse(exchange,
                              {403, "DENIED",
                               "this token has not the scope deploy, which pushing to a registry "
                               "and deleting from it need"});
  }
  if (is_of_one && !asker->may(route->repository, needed)) {
    const Error lacks = Error::unauthenticated("the token that was sent is not good for " + wanted);
    co_return co_await challenge(cx_, exchange, wanted, lacks);
  }
  co_return co_await serve_route(cx_, std::move(*asker), std::move(*route), exchange);
}

}  // namespace thaw::dialect::registry
