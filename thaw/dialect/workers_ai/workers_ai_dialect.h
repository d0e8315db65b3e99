// SPDX-License-Identifier: Apache-2.0
//
// WorkersAiDialect: the front door of this folder. It publishes nothing: what answers are models
// and servers that others have pushed, under names that their workspace has given them.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "thaw/dialect/workers_ai/context.h"

namespace thaw::dialect::workers_ai {

class WorkersAiDialect final : public gateway::Dialect {
 public:
  explicit WorkersAiDialect(const gateway::Owners& owners);
  ~WorkersAiDialect() override;

  std::string name() const override { return dialect_name; }
  control::Runtime& runtime() override { return *runtime_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  std::map<std::string, std::string> client_environment(
      const gateway::BaseUrl& base, const gateway::NewToken& token) const override;
  void start(const gateway::Surroundings& place) override { cx_.place = place; }
  async::Task<void> stop() override { co_return ok(); }

 private:
  Context cx_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::workers_ai
