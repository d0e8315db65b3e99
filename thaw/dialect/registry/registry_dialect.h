// SPDX-License-Identifier: Apache-2.0
//
// RegistryDialect: the front door of this folder. It has no functions: what is pushed here becomes
// one by the builder, under the dialect of who asks for it.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/registry/context.h"

namespace thaw::dialect::registry {

class RegistryDialect final : public gateway::Dialect {
 public:
  // `taker` outlives it.
  RegistryDialect(const gateway::Owners& owners, gateway::ImageTaker& taker);
  ~RegistryDialect() override;

  std::string name() const override { return "registry"; }
  control::Runtime& runtime() override { return *runtime_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  void start(const gateway::Surroundings& place) override { cx_.place = place; }
  async::Task<void> stop() override { co_return ok(); }

 private:
  async::Task<void> serve(net::HttpExchange& exchange);

  Context cx_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::registry
