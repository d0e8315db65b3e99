// SPDX-License-Identifier: Apache-2.0
// Tunnels: `modal.forward` of a function's own port.
#include "thaw/dialect/modal/proto/base.pb.h"
#include "thaw/dialect/modal/proto/sandboxes.pb.h"
#include "thaw/dialect/modal/rpc.h"
#include "thaw/dialect/modal/services.h"

namespace thaw::dialect::modal {

namespace pb = ::modal::client;
using async::Task;

namespace {

std::string host_of(const std::string& authority) {
  return authority.substr(0, authority.rfind(':'));
}

Result<std::uint16_t> port_in(std::uint32_t port) {
  if (port < 1 || port > 65'535) {
    return Error::invalid_argument(std::to_string(port) + " is no port; there are 1 to 65535");
  }
  return static_cast<std::uint16_t>(port);
}

Task<pb::TunnelStartResponse> start(Context& cx, net::GrpcCall& call,
                                    pb::TunnelStartRequest request) {
  THAW_CO_TRY(const model::ContainerId container, container_of(cx, call));
  THAW_CO_TRY(const auto spec, cx.fleet->spec_of(container));
  THAW_CO_TRY(const std::uint16_t port, port_in(request.port()));
  using Wire = gateway::Tunnels::Wire;
  const Wire wire = request.unencrypted() ? Wire::plain : Wire::tls;
  if (wire == Wire::tls && !cx.parts.tunnels.have_tls()) {
    co_return Error::failed_precondition(
        "this server has no certificate, which a tunnel with TLS needs (`thaw tls init` makes "
        "one): modal.forward(" +
        std::to_string(port) +
        ", unencrypted=True) is served without, at its tcp_socket; or serve the port with "
        "@modal.web_server");
  }
  THAW_CO_TRY(const std::uint16_t number,
              cx.parts.tunnels.open(container, spec->workspace, port, wire));
  pb::TunnelStartResponse reply;
  reply.set_host(host_of(cx.place.authority));
  reply.set_port(number);
  if (wire == Wire::plain) {
    reply.set_unencrypted_host(reply.host());
    reply.set_unencrypted_port(number);
  }
  co_return reply;
}

Task<pb::TunnelStopResponse> stop(Context& cx, net::GrpcCall& call, pb::TunnelStopRequest request) {
  THAW_CO_TRY(const model::ContainerId container, container_of(cx, call));
  THAW_CO_TRY(const std::uint16_t port, port_in(request.port()));
  THAW_CO_TRY(const bool was_there, co_await cx.parts.tunnels.close(container, port));
  pb::TunnelStopResponse reply;
  reply.set_exists(was_there);
  co_return reply;
}

}  // namespace

void add_tunnel_rpcs(net::GrpcTable& table, Context& cx) {
  add_once(table, cx, "TunnelStart", start);
  add_once(table, cx, "TunnelStop", stop);
}

}  // namespace thaw::dialect::modal
