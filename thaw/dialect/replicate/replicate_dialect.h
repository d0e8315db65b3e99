// SPDX-License-Identifier: Apache-2.0
//
// ReplicateDialect: the front door of this folder. It publishes nothing: models are functions that
// others have pushed with a card (gateway/models.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "thaw/dialect/replicate/context.h"
#include "thaw/dialect/replicate/webhooks.h"

namespace thaw::dialect::replicate {

class ReplicateDialect final : public gateway::Dialect {
 public:
  ReplicateDialect(const gateway::Owners& owners, Options options);
  ~ReplicateDialect() override;

  std::string name() const override { return dialect_name; }
  control::Runtime& runtime() override { return *runtime_; }
  gateway::CallbackDialect* callbacks() override { return &webhooks_; }
  void add_routes(gateway::HttpRouter& routes) override;
  void add_signed_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  void find_references(std::string_view payload, std::vector<std::string>& names) const override;
  std::map<std::string, std::string> client_environment(
      const gateway::BaseUrl& base, const gateway::NewToken& token) const override;
  void start(const gateway::Surroundings& place) override { cx_.place = place; }
  async::Task<void> stop() override { co_return ok(); }

 private:
  Context cx_;
  Webhooks webhooks_{cx_};
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::replicate
