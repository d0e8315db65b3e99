// SPDX-License-Identifier: Apache-2.0
//
// NativeDialect: the front door of this folder.
#pragma once

#include <memory>
#include <string>

#include "thaw/dialect/native/callbacks.h"
#include "thaw/dialect/native/context.h"
#include "thaw/dialect/native/image_models.h"

namespace thaw::dialect::native {

class NativeDialect final : public gateway::Dialect {
 public:
  NativeDialect(const gateway::Owners& owners, Options options);
  ~NativeDialect() override;

  std::string name() const override { return dialect_name; }
  control::Runtime& runtime() override { return *runtime_; }
  gateway::CallbackDialect* callbacks() override { return &callbacks_; }
  void add_routes(gateway::HttpRouter& routes) override;
  async::Task<void> serve_web(net::HttpExchange& exchange, gateway::WebTarget target) override;
  Result<gateway::CallbackCall> scheduled_call(const gateway::Route& route, WallTime tick) override;
  void start(const gateway::Surroundings& place) override { cx_.place = place; }
  async::Task<void> stop() override { co_return ok(); }

  // What becomes of images that are pushed to this server's registry.
  gateway::ImageTaker& images() { return images_; }

 private:
  Context cx_;
  NativeCallbacks callbacks_{cx_};
  ImageModels images_{cx_};
  std::unique_ptr<control::Runtime> runtime_;
};

}  // namespace thaw::dialect::native
