// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/replicate/account.h"

#include <utility>

#include "thaw/dialect/replicate/answers.h"
#include "thaw/gateway/callback_sender.h"

namespace thaw::dialect::replicate {

using async::Task;
using codec::Json;

Task<void> serve_account(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  const auto workspace = gateway::scope_of(cx.owners.catalog, who).workspace();
  const std::string name = workspace ? workspace->name : "default";
  co_return co_await answer_json(
      exchange, 200,
      {{"type", "user"}, {"username", name}, {"name", name}, {"github_url", nullptr}});
}

Task<void> serve_hardware(Context& /*cx*/, gateway::Identity /*who*/, net::HttpExchange& exchange) {
  co_return co_await answer_json(exchange, 200, Json::array({{{"name", "CPU"}, {"sku", "cpu"}}}));
}

Task<void> serve_webhook_secret(Context& cx, gateway::Identity who, net::HttpExchange& exchange) {
  co_return co_await answer_json(
      exchange, 200, {{"key", gateway::callback_secret(cx.owners.secrets, who.workspace)}});
}

Task<void> serve_none(Context& /*cx*/, gateway::Identity /*who*/, net::HttpExchange& exchange) {
  co_return co_await answer_json(
      exchange, 200, {{"previous", nullptr}, {"next", nullptr}, {"results", Json::array()}});
}

}  // namespace thaw::dialect::replicate
