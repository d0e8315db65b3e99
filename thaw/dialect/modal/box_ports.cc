// SPDX-License-Identifier: Apache-2.0
#include "thaw/dialect/modal/box_ports.h"

#include <limits>
#include <set>

#include "thaw/dialect/modal/box_labels.h"
#include "thaw/gateway/peer_list.h"

namespace thaw::dialect::modal {

using async::Task;
using control::BoxPtr;
using model::BoxPort;

namespace {

std::vector<std::string> list_from(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

Result<std::vector<BoxPort>> ports_from(const pb::PortSpecs& asked) {
  std::vector<BoxPort> ports;
  std::set<std::uint32_t> known;
  for (const pb::PortSpec& one : asked.ports()) {
    if (one.port() == 0 || one.port() > std::numeric_limits<std::uint16_t>::max()) {
      return Error::invalid_argument(std::to_string(one.port()) +
                                     " is no port; there are 1 to 65535");
    }
    if (!known.insert(one.port()).second) {
      return Error::invalid_argument("port " + std::to_string(one.port()) +
                                     " of a sandbox is asked for twice");
    }
    BoxPort port;
    port.port = static_cast<std::uint16_t>(one.port());
    if (!one.unencrypted()) {
      port.speaks =
          one.tunnel_type() == pb::TUNNEL_TYPE_H2 ? BoxPort::Speaks::http2 : BoxPort::Speaks::http1;
    }
    ports.push_back(port);
    if (ports.size() > gateway::TunnelLimits{}.per_container) {
      return Error::invalid_argument("a sandbox has at most " +
                                     std::to_string(gateway::TunnelLimits{}.per_container) +
                                     " open ports");
    }
  }
  return ports;
}

// With encryption where the server can; else it is a port as without.
gateway::Tunnels::Wire wire_of(const Context& cx, const BoxPort& port) {
  return port.speaks != BoxPort::Speaks::anything && cx.parts.tunnels.have_tls()
             ? gateway::Tunnels::Wire::tls
             : gateway::Tunnels::Wire::plain;
}

// Where a host of its own is reached by HTTPS.
bool has_host(const WebAddresses& addresses, const BoxPort& port) {
  return port.speaks != BoxPort::Speaks::anything && addresses.scheme == "https" &&
         !addresses.domain.empty();
}

std::string label_of(const Context& cx, const BoxPtr& box, const BoxPort& port) {
  return box_label(cx, box->record.container, std::to_string(port.port));
}

Task<void> serve_port_of(Context& cx, BoxPtr box, BoxPort port, net::HttpExchange& exchange,
                         std::string root_path) {
  gateway::BoxVisit visit;
  visit.origin = cx.place.proxies.origin_of(exchange.request());
  visit.target = target_below(exchange.request(), root_path);
  visit.root_path = std::move(root_path);
  visit.box = std::move(box);
  visit.to = port;
  co_return co_await cx.parts.box_visits.lead(exchange, std::move(visit));
}

void lend_label(Context& cx, const BoxPtr& box, const BoxPort& port) {
  cx.parts.web.lend(
      label_of(cx, box, port), while_it_lives(box),
      [&cx, id = box->record.id, port](net::HttpExchange& exchange, std::string root_path) {
        return serve_port_of(cx, cx.parts.boxes.find(id), port, exchange, std::move(root_path));
      });
}

std::string host_of(const std::string& authority) {
  return authority.substr(0, authority.rfind(':'));
}

}  // namespace

Result<void> network_from(const pb::Sandbox& d, control::BoxSpec& spec) {
  if (d.network_access().allowed_domains_size() > 0) {
    return Error::unimplemented(
        "lists of allowed domains (outbound_domain_allowlist) are not served by this version of "
        "Thaw; outbound_cidr_allowlist is");
  }
  if (d.has_experimental_outbound_policy()) {
    return Error::unimplemented(
        "policies that replace headers of outbound requests are not served by this version of "
        "Thaw");
  }
  spec.record.reached_from = list_from(d.inbound_cidr_allowlist());
  THAW_TRY_VOID(gateway::check_networks("inbound_cidr_allowlist", spec.record.reached_from));
  const bool is_blocked = spec.network == model::NetworkAccess::blocked;
  if (!is_blocked && d.network_access().network_access_type() == pb::NetworkAccess::ALLOWLIST) {
    spec.reaches = list_from(d.network_access().allowed_cidrs());
    THAW_TRY_VOID(gateway::check_networks("outbound_cidr_allowlist", *spec.reaches));
  }
  THAW_TRY(spec.record.ports, ports_from(d.open_ports()));
  if (is_blocked && (!spec.record.ports.empty() || !spec.record.reached_from.empty())) {
    return Error::invalid_argument(
        "a sandbox without a network (block_network) has no ports, and nobody reaches it; "
        "outbound_cidr_allowlist=[] lets it begin no connection, and has ports");
  }
  return ok();
}

Result<void> open_ports(Context& cx, const WebAddresses& addresses, const BoxPtr& box) {
  gateway::Tunnels::Admits admits;
  if (!box->record.reached_from.empty()) {
    admits = [networks = box->record.reached_from](const std::string& peer) {
      return gateway::is_in(networks, peer);
    };
  }
  for (const BoxPort& port : box->record.ports) {
    if (has_host(addresses, port)) {
      lend_label(cx, box, port);
    } else if (!cx.parts.tunnels.find(box->record.container, port.port)) {
      THAW_TRY([[maybe_unused]] const std::uint16_t number,
               cx.parts.tunnels.open(box->record.container, box->record.workspace, port.port,
                                     wire_of(cx, port), admits));
    }
  }
  return ok();
}

void lend_box_labels(Context& cx) {
  for (const BoxPtr& box : cx.parts.boxes.living()) {
    lend_connect_label(cx, box);
    for (const BoxPort& port : box->record.ports) {
      if (port.speaks != BoxPort::Speaks::anything) {
        lend_label(cx, box, port);
      }
    }
  }
}

void tell_tunnels(Context& cx, const WebAddresses& addresses, const BoxPtr& box,
                  google::protobuf::RepeatedPtrField<pb::TunnelData>& out) {
  for (const BoxPort& port : box->record.ports) {
    pb::TunnelData& tunnel = *out.Add();
    tunnel.set_container_port(port.port);
    const auto number = cx.parts.tunnels.find(box->record.container, port.port);
    if (number && !has_host(addresses, port)) {
      tunnel.set_host(host_of(addresses.authority));
      tunnel.set_port(*number);
      if (wire_of(cx, port) == gateway::Tunnels::Wire::plain) {
        tunnel.set_unencrypted_host(tunnel.host());
        tunnel.set_unencrypted_port(*number);
      }
      continue;
    }
    constexpr std::uint32_t of_https = 443;
    tunnel.set_host(label_of(cx, box, port) + "." + addresses.domain);
    tunnel.set_port(addresses.port.size() < 2
                        ? of_https
                        : static_cast<std::uint32_t>(std::stoul(addresses.port.substr(1))));
  }
}

}  // namespace thaw::dialect::modal
