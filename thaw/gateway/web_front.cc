// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/web_front.h"

#include <algorithm>

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

void WebFront::lend(std::string label, std::function<bool()> lives, Answer answer) {
  if (lent_.size() >= sweep_at_) {
    std::erase_if(lent_, [](const auto& entry) { return !entry.second.lives(); });
    sweep_at_ = std::max<std::size_t>(64, lent_.size() * 2);
  }
  lent_[std::move(label)] = {std::move(lives), std::move(answer)};
}

const WebFront::Lent* WebFront::find_lent(const std::string& label) {
  const auto lent = lent_.find(label);
  return lent != lent_.end() && lent->second.lives() ? &lent->second : nullptr;
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
  // Nobody can take one of these for a function: they are not for users to choose.
  const Lent* lent = find_lent(label);
  if (lent == nullptr && !labels_.function_of(label) && ask_lenders_at_ <= monotonic_now()) {
    ask_lenders_at_ = monotonic_now() + 1s;
    for (const auto& lend_all : lenders_) {
      lend_all();
    }
    lent = find_lent(label);
  }
  if (lent != nullptr) {
    const Answer answer = lent->answer;
    co_return co_await answer(exchange, std::move(root_path));
  }
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
