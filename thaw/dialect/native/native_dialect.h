// SPDX-License-Identifier: Apache-2.0
//
// NativeDialect: the front door of this folder.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/native/context.h"

namespace thaw::dialect::native {

class NativeDialect final : public gateway::Dialect {
 public:
  explicit NativeDialect(const gateway::Owners& owners);
  ~NativeDialect() override;

  std::string name() const override { return dialect_name; }
  control::Runtime& runtime() override { return *runtime_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  void start(const gateway::Surroundings& place) override { cx_.place = place; }
  async::Task<void> stop() override { co_return ok(); }

 private:
  Context cx_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::native
