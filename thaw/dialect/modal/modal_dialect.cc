// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/modal_dialect.h"

#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/features.h"
#include "thaw/dialect/modal/image_builds.h"
#include "thaw/dialect/modal/runtime.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/unused.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/dialect/modal/web.h"

namespace thaw::dialect::modal {

namespace {

std::string label_of_host(const Context& cx, const net::HttpRequest& request) {
  return cx.hosts.label_of(cx.settings.proxies.origin_of(request).authority).value_or("");
}

}  // namespace

ModalDialect::ModalDialect(Parts parts)
    : cx_(std::make_unique<Context>(std::move(parts))),
      runtime_(std::make_unique<ModalRuntime>(*cx_)) {
  Context& cx = *cx_;
  host_handler_ = [&cx](net::HttpExchange& exchange) {
    return serve_web_label(cx, exchange, label_of_host(cx, exchange.request()), "");
  };
}

ModalDialect::~ModalDialect() = default;

control::Runtime& ModalDialect::runtime() { return *runtime_; }

void ModalDialect::start(control::Fleet& fleet, Settings settings) {
  cx_->fleet = &fleet;
  cx_->settings = std::move(settings);
  cx_->held_output.fit_into(cx_->settings.memory_bytes);
  cx_->hosts = gateway::FunctionHosts(cx_->settings.authority, cx_->settings.web_domain);
  rebuild_web_labels(*cx_);
  cx_->tasks.start("apps", app_loop(*cx_));
  cx_->tasks.start("volumes", volume_loop(*cx_));
  cx_->tasks.start("what is unused", unused_loop(*cx_));
}

async::Task<void> ModalDialect::stop() {
  cx_->parts.client_packages.stop();
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
  table.admit = [&cx](const net::HttpRequest& head, const net::Peer& peer) {
    return admit(cx, head, peer);
  };
}

std::set<model::WorkspaceId> ModalDialect::builders() const {
  return cx_->image_builds->builders();
}

model::WorkspaceId ModalDialect::builder_of(const model::ImageId& image) const {
  return cx_->image_builds->builder_of(image);
}

net::HttpHandler ModalDialect::web_handler() {
  Context& cx = *cx_;
  return [&cx](net::HttpExchange& exchange) { return serve_web(cx, exchange); };
}

net::HttpHandler ModalDialect::volume_handler() {
  Context& cx = *cx_;
  return [&cx](net::HttpExchange& exchange) { return serve_volume_block(cx, exchange); };
}

bool ModalDialect::is_signed(const net::HttpRequest& request) const {
  return is_signed_block_url(*cx_, request.target);
}

const net::HttpHandler* ModalDialect::handler_by_host(const net::HttpRequest& request) {
  return label_of_host(*cx_, request).empty() ? nullptr : &host_handler_;
}

}  // namespace thaw::dialect::modal
