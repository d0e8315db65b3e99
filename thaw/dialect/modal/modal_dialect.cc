// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/modal_dialect.h"

#include "thaw/base/log.h"
#include "thaw/dialect/modal/apps.h"
#include "thaw/dialect/modal/box_files.h"
#include "thaw/dialect/modal/box_ports.h"
#include "thaw/dialect/modal/calls.h"
#include "thaw/dialect/modal/client_packages.h"
#include "thaw/dialect/modal/definition.h"
#include "thaw/dialect/modal/features.h"
#include "thaw/dialect/modal/functions.h"
#include "thaw/dialect/modal/mounts.h"
#include "thaw/dialect/modal/program_folder.h"
#include "thaw/dialect/modal/runtime.h"
#include "thaw/dialect/modal/services.h"
#include "thaw/dialect/modal/volume_blocks.h"
#include "thaw/dialect/modal/volumes.h"
#include "thaw/dialect/modal/web.h"
#include "thaw/dialect/modal/web_port.h"

namespace thaw::dialect::modal {

namespace {

// So many inputs of a map travel in one message, which is to fit into what one workspace may have
// on its way.
constexpr std::uint64_t inputs_of_a_message = 50;

}  // namespace

ModalDialect::ModalDialect(const gateway::Owners& owners, Options options) {
  ProgramFolder::sweep(options.cache_folder + "/clients");
  cx_ = std::make_unique<Context>(owners, std::move(options));
  runtime_ = std::make_unique<ModalRuntime>(*cx_);
  cx_->parts.access.add_credential_headers({std::string(key_header), std::string(secret_header)});
}

ModalDialect::~ModalDialect() = default;

std::string ModalDialect::name() const { return dialect_name; }

void ModalDialect::start(const gateway::Surroundings& place) {
  cx_->place = place;
  cx_->inline_bytes =
      std::min(most_inline_bytes, place.message_buffer_bytes / 2 / inputs_of_a_message);
  cx_->held_output.fit_into(place.memory_bytes);
  if (auto files = lay_out_box_files(cx_->options.cache_folder)) {
    cx_->sandbox_binds.push_back(std::move(*files));
  } else {
    log_warning("files in sandboxes cannot be reached by their clients",
                {{"error", files.error().to_string()}});
  }
  cx_->parts.web.add_lender([this] { lend_box_labels(*cx_); });
  cx_->tasks.start("what nobody reads", unread_loop(*cx_));
  cx_->tasks.start("volumes", volume_loop(*cx_));
  cx_->tasks.start("variants by address", variants_loop(*cx_));
}

Result<gateway::CallbackCall> ModalDialect::scheduled_call(const gateway::Route& route,
                                                           WallTime /*tick*/) {
  return call_without_arguments(route);
}

async::Task<void> ModalDialect::stop() {
  cx_->client_packages->stop();
  return cx_->tasks.stop();
}

void ModalDialect::add_methods(net::GrpcTable& table) {
  Context& cx = *cx_;
  add_account_rpcs(table, cx);
  add_app_rpcs(table, cx);
  add_older_rpcs(table, cx);
  add_log_rpcs(table, cx);
  add_function_rpcs(table, cx);
  add_call_rpcs(table, cx);
  add_call_list_rpcs(table, cx);
  add_tunnel_rpcs(table, cx);
  add_call_data_rpcs(table, cx);
  add_container_rpcs(table, cx);
  add_image_rpcs(table, cx);
  add_image_name_rpcs(table, cx);
  add_mount_rpcs(table, cx);
  add_secret_rpcs(table, cx);
  add_dict_rpcs(table, cx);
  add_queue_rpcs(table, cx);
  add_volume_rpcs(table, cx);
  add_volume_file_rpcs(table, cx);
  add_volume_read_rpcs(table, cx);
  add_network_file_system_rpcs(table, cx);
  add_sandbox_rpcs(table, cx);
  add_connect_token_rpcs(table, cx);
  add_container_exec_rpcs(table, cx);
  add_router_rpcs(table, cx);
  table.unknown = not_served;
  table.admit = [&cx](const net::HttpRequest& head, const net::Peer& peer) {
    return admit(cx, head, peer);
  };
}

void ModalDialect::add_signed_routes(gateway::HttpRouter& routes) {
  Context& cx = *cx_;
  routes.add_signed(
      "/volumes", [&cx](net::HttpExchange& exchange) { return serve_volume_block(cx, exchange); },
      [&cx](const net::HttpRequest& request) { return cx.volume_urls.is_genuine(request.target); });
}

async::Task<void> ModalDialect::serve_web(net::HttpExchange& exchange, gateway::WebTarget target) {
  return serve_web_target(*cx_, exchange, std::move(target));
}

void ModalDialect::find_references(std::string_view payload,
                                   std::vector<std::string>& names) const {
  find_blobs(payload, names);
}

std::map<std::string, std::string> ModalDialect::client_environment(
    const gateway::BaseUrl& base, const gateway::NewToken& token) const {
  return {{"MODAL_SERVER_URL", base + ""},
          {"MODAL_TOKEN_ID", token.id.str()},
          {"MODAL_TOKEN_SECRET", token.secret}};
}

}  // namespace thaw::dialect::modal
