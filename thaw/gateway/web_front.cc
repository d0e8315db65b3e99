// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_front.h"

#include "thaw/codec/json.h"

namespace thaw::gateway {

namespace {

constexpr std::string_view web_prefix = "/web/";

}  // namespace

void WebFront::open(const Surroundings& place, LoopbackHosts* loopback) {
  hosts_ = FunctionHosts(place.authority, place.web_domain);
  proxies_ = place.proxies;
  loopback_ = loopback;
  host_handler_ = [this](net::HttpExchange& exchange) {
    return serve(exchange, label_of_host(exchange.request()), "");
  };
  labels_.found = [this](const std::string& label, const model::WorkspaceId& workspace) {
    (void)loopback_host(label, workspace);
  };
}

std::string WebFront::label_of_host(const net::HttpRequest& request) const {
  return hosts_.label_of(proxies_.origin_of(request).authority).value_or("");
}

const net::HttpHandler* WebFront::by_host(const net::HttpRequest& request) {
  return label_of_host(request).empty() ? nullptr : &host_handler_;
}

std::string WebFront::loopback_host(const std::string& label, const model::WorkspaceId& workspace) {
  if (loopback_ == nullptr) {
    return {};
  }
  return loopback_->address_of(label, workspace, [this, &label] {
    return [this, label](net::HttpExchange& exchange) { return serve(exchange, label, ""); };
  });
}

async::Task<void> WebFront::serve_path(net::HttpExchange& exchange) {
  const std::string_view path = exchange.request().path();
  const std::string_view rest = path.substr(std::min(path.size(), web_prefix.size()));
  const std::string asked(rest.substr(0, rest.find('/')));
  std::string root_path = std::string(web_prefix) + asked;
  co_return co_await serve(exchange, lower_case(asked), std::move(root_path));
}

async::Task<void> WebFront::serve(net::HttpExchange& exchange, std::string label,
                                  std::string root_path) {
  auto function = labels_.function_of(label);
  std::string alias;
  // No label has two dashes in a row.
  if (const std::size_t dashes = label.rfind("--"); !function && dashes != std::string::npos) {
    function = labels_.function_of(label.substr(dashes + 2));
    alias = label.substr(0, dashes);
  }
  const auto spec = function ? function->live() : nullptr;
  if (!spec) {
    std::string text = "no web endpoint '" + label.substr(0, 63) + "' is deployed here";
    if (exchange.is_grpc()) {
      co_return co_await exchange.answer_error(Error::not_found(std::move(text)));
    }
    const codec::Json error = {{"error", std::move(text)}};
    co_return co_await exchange.answer(404, "application/json", codec::dump_json(error) + "\n");
  }
  THAW_CO_TRY(const Serve* answers, dialects_.of(*spec));
  co_return co_await (*answers)(
      exchange, {std::move(function), std::move(label), std::move(root_path), std::move(alias)});
}

}  // namespace thaw::gateway
