// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/modal_dialect.h"

#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/features.h"
#include "thaw/dialect/modal/image_builds.h"
#include "thaw/dialect/modal/runtime.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

namespace {

std::string label_of_host(const net::HttpRequest& request) {
  return request.authority.substr(0, request.authority.find('.'));
}

}  // namespace

ModalDialect::ModalDialect(Parts parts)
    : cx_(std::make_unique<Context>(std::move(parts))),
      runtime_(std::make_unique<ModalRuntime>(*cx_)) {
  Context& cx = *cx_;
  host_handler_ = [&cx](net::HttpExchange& exchange) {
    return serve_web_label(cx, exchange, label_of_host(exchange.request()), "");
  };
}

ModalDialect::~ModalDialect() = default;

control::Runtime& ModalDialect::runtime() { return *runtime_; }

void ModalDialect::start(control::Fleet& fleet, Settings settings) {
  cx_->fleet = &fleet;
  cx_->settings = std::move(settings);
  rebuild_web_labels(*cx_);
  cx_->tasks.start("apps", app_loop(*cx_));
  cx_->tasks.start("volumes", volume_loop(*cx_));
}

async::Task<void> ModalDialect::stop() {
  THAW_CO_TRY_VOID(co_await cx_->image_builds->stop());
  co_return co_await cx_->tasks.stop();
}

void ModalDialect::add_methods(net::GrpcTable& table) {
  Context& cx = *cx_;
  add_account_rpcs(table, cx);
  add_app_rpcs(table, cx);
  add_log_rpcs(table, cx);
  add_function_rpcs(table, cx);
  add_call_rpcs(table, cx);
  add_call_data_rpcs(table, cx);
  add_container_rpcs(table, cx);
  add_image_rpcs(table, cx);
  add_mount_rpcs(table, cx);
  add_secret_rpcs(table, cx);
  add_volume_rpcs(table, cx);
  add_volume_file_rpcs(table, cx);
  table.unknown = not_served;
}

std::set<model::WorkspaceId> ModalDialect::builders() const {
  return cx_->image_builds->builders();
}

model::WorkspaceId ModalDialect::builder_of(const model::ImageId& image) const {
  const auto build = cx_->image_builds->find(image);
  return build ? build->workspace : model::WorkspaceId();
}

net::HttpHandler ModalDialect::web_handler() {
  Context& cx = *cx_;
  return [&cx](net::HttpExchange& exchange) { return serve_web(cx, exchange); };
}

net::HttpHandler ModalDialect::volume_handler() {
  Context& cx = *cx_;
  return [&cx](net::HttpExchange& exchange) { return serve_volume_block(cx, exchange); };
}

const net::HttpHandler* ModalDialect::handler_by_host(const net::HttpRequest& request) {
  if (request.authority.find('.') == std::string::npos) {
    return nullptr;
  }
  return has_web_label(*cx_, label_of_host(request)) ? &host_handler_ : nullptr;
}

}  // namespace thaw::dialect::modal
