// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/registry/refusal.h"

#include "thaw/codec/json.h"

namespace thaw::dialect::registry {

async::Task<void> refuse(net::HttpExchange& exchange, Refusal refusal, net::Headers headers) {
  const codec::Json one = {
      {"code", refusal.code}, {"message", refusal.message}, {"detail", nullptr}};
  std::string body = codec::dump_json({{"errors", codec::Json::array({one})}}) + "\n";
  headers.add("content-type", "application/json");
  headers.add("docker-distribution-api-version", "registry/2.0");
  if (exchange.request().method == "HEAD") {
    body.clear();
  }
  headers.add("content-length", std::to_string(body.size()));
  if (refusal.status == 429 || refusal.status == 503) {
    headers.add("retry-after", "1");
  }
  co_return co_await exchange.respond_whole(refusal.status, std::move(headers), std::move(body));
}

Refusal refusal_of(const Context& cx, const Error& error, const char* invalid) {
  std::string message = cx.owners.registry.told(error);
  switch (error.code()) {
    case Code::invalid_argument:
    case Code::failed_precondition: return {400, invalid, std::move(message)};
    case Code::unauthenticated: return {401, "UNAUTHORIZED", std::move(message)};
    case Code::permission_denied:
    // A quota, or a disk: to ask again does not help, and clients that are told so do not.
    case Code::resource_exhausted: return {403, "DENIED", std::move(message)};
    case Code::not_found: return {404, "NAME_UNKNOWN", std::move(message)};
    case Code::aborted: return {409, invalid, std::move(message)};
    case Code::out_of_range: return {413, "SIZE_INVALID", std::move(message)};
    case Code::unavailable: return {503, "TOOMANYREQUESTS", std::move(message)};
    case Code::deadline_exceeded: return {408, invalid, std::move(message)};
    default: return {net::http_status(error.code()), "UNKNOWN", std::move(message)};
  }
}

}  // namespace thaw::dialect::registry
