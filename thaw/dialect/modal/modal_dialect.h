// SPDX-License-Identifier: Apache-2.0
//
// ModalDialect: the front door of this folder.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/modal/context.h"

namespace thaw::dialect::modal {

class ModalDialect final : public gateway::Dialect {
 public:
  ModalDialect(const gateway::Owners& owners, Options options);
  ~ModalDialect() override;

  std::string name() const override;
  control::Runtime& runtime() override { return *runtime_; }
  void add_methods(net::GrpcTable& table) override;
  void add_signed_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  void find_references(std::string_view payload, std::vector<std::string>& names) const override;
  std::map<std::string, std::string> client_environment(
      const gateway::BaseUrl& base, const gateway::NewToken& token) const override;
  Result<gateway::CallbackCall> scheduled_call(const gateway::Route& route, WallTime tick) override;
  void start(const gateway::Surroundings& place) override;
  async::Task<void> stop() override;

 private:
  std::unique_ptr<Context> cx_;
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::modal
