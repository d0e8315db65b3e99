// SPDX-License-Identifier: Apache-2.0
//
// WebFront: requests to the addresses of functions. A function is reached at its label's own host,
// LABEL.DOMAIN or an address on loopback, and below the path /web/LABEL; who answers is the dialect
// that the function was published by. Loop thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "thaw/control/by_dialect.h"
#include "thaw/gateway/function_hosts.h"
#include "thaw/gateway/loopback_hosts.h"
#include "thaw/gateway/surroundings.h"
#include "thaw/gateway/web_labels.h"
#include "thaw/net/http.h"

namespace thaw::gateway {

// A request to a label: the function that has it, and the path below which it is reached ("" on a
// host of its own).
struct WebTarget {
  std::shared_ptr<const catalog::Function> function;  // with a live version
  std::string label;
  std::string root_path;
  std::string alias;  // of the function, that the host names: ALIAS--LABEL; empty: none
};

class WebFront {
 public:
  using Serve = std::function<async::Task<void>(net::HttpExchange&, WebTarget)>;

  // `labels` outlives the front.
  explicit WebFront(WebLabels& labels) : labels_(labels) {}

  // A label of something that is no function, for as long as `lives` says so.
  using Answer = std::function<async::Task<void>(net::HttpExchange&, std::string root_path)>;
  void lend(std::string label, std::function<bool()> lives, Answer answer);
  // Asked, now and then, when nobody has a label: it may lend more.
  void add_lender(std::function<void()> lend_all) { lenders_.push_back(std::move(lend_all)); }
  // Who answers for versions of that dialect.
  void add(const std::string& dialect, Serve serve) { dialects_.add(dialect, std::move(serve)); }
  // Once the server listens. `loopback`, if there is one, gives labels addresses on loopback.
  void open(const Surroundings& place, LoopbackHosts* loopback);

  // Serves /web/LABEL/….
  async::Task<void> serve_path(net::HttpExchange& exchange);
  // The handler of a request to a function's own host; nullptr for every other host.
  const net::HttpHandler* by_host(const net::HttpRequest& request);
  // The address on loopback that is this label's own host, where that is how it has one.
  std::string loopback_host(const std::string& label, const model::WorkspaceId& workspace);

 private:
  async::Task<void> serve(net::HttpExchange& exchange, std::string label, std::string root_path);
  std::string label_of_host(const net::HttpRequest& request) const;

  struct Lent {
    std::function<bool()> lives;
    Answer answer;
  };
  const Lent* find_lent(const std::string& label);

  WebLabels& labels_;
  FunctionHosts hosts_;
  TrustedProxies proxies_;
  LoopbackHosts* loopback_ = nullptr;
  control::ByDialect<Serve> dialects_;
  std::unordered_map<std::string, Lent> lent_;  // twice those that live at most, or a few
  std::size_t sweep_at_ = 64;
  std::vector<std::function<void()>> lenders_;
  Instant ask_lenders_at_{};
  net::HttpHandler host_handler_;
};

}  // namespace thaw::gateway
