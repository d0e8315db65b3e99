// SPDX-License-Identifier: Apache-2.0
//
// PushDialect: a cloud of job servers. Its clients send a JSON object to /jobs, {"key", "op", …}:
//   deploy {name, server: Python of an HTTP server at $PORT, label, window_s, timeout_s, …}
//   run {name, input}       waits for what the server answers
//   enqueue {name, input}   says which job it is
//   result {job, wait_s}    abort {job}
// An input is JSON, which the server gets by POST /work, once GET /ready has said {"state": "up"}.
// A function with a label is the server itself at its address.
#pragma once

#include <memory>
#include <string>

#include "thaw/gateway/dialect.h"

namespace thaw::dialects_test {

class PushDialect final : public gateway::Dialect {
 public:
  explicit PushDialect(const gateway::Owners& owners);
  ~PushDialect() override;

  std::string name() const override { return "push"; }
  control::Runtime& runtime() override { return *runtime_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  void start(const gateway::Surroundings& place) override { proxies_ = place.proxies; }
  async::Task<void> stop() override { co_return ok(); }

 private:
  gateway::Owners owners_;
  gateway::TrustedProxies proxies_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialects_test
