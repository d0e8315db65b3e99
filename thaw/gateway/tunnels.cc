// SPDX-License-Identifier: Apache-2.0
#include "thaw/gateway/tunnels.h"

#include <algorithm>
#include <vector>

#include "thaw/async/every.h"

namespace thaw::gateway {

using async::Task;

TunnelLimits within(TunnelLimits limits, std::uint64_t descriptors) {
  const auto connections = static_cast<std::size_t>(descriptors / 16);  // an eighth of them
  limits.connections = std::min(limits.connections, std::max<std::size_t>(connections, 16));
  limits.connections_per_workspace =
      std::min(limits.connections_per_workspace, limits.connections / 2);
  limits.all = std::min(limits.all, limits.connections);
  limits.per_workspace = std::min(limits.per_workspace, limits.all / 2);
  return limits;
}

void Tunnels::start(std::string host) {
  host_ = std::move(host);
  tasks_.start("tunnels", async::every(1s, "tunnels", [this] { return close_ended(); }));
}

Task<void> Tunnels::stop() {
  Result<void> outcome = co_await tasks_.stop();
  while (!tunnels_.empty()) {
    const auto tunnel = tunnels_.begin();
    const std::unique_ptr<net::PortRelay> relay = std::move(tunnel->second.relay);
    tunnels_.erase(tunnel);
    Result<void> ended = co_await relay->stop();
    outcome = outcome ? std::move(ended) : std::move(outcome);
  }
  co_return outcome;
}

Result<std::uint16_t> Tunnels::open(const model::ContainerId& container,
                                    const model::WorkspaceId& workspace, std::uint16_t port,
                                    Wire wire, Admits admits) {
  if (host_.empty()) {
    return Error::failed_precondition("this server offers no tunnels ([network] tunnels)");
  }
  if (wire == Wire::tls && !have_tls()) {
    return Error::failed_precondition(
        "this server has no certificate for a tunnel with TLS ([server] tls)");
  }
  if (const auto address = address_of_(container);
      !address && address.error().code() != Code::unavailable) {
    return address.error();
  }
  if (tunnels_.contains({container, port})) {
    return Error::already_exists("port " + std::to_string(port) +
                                 " of this container has a tunnel already");
  }
  const auto count = [this](auto belongs) {
    return static_cast<std::size_t>(std::count_if(tunnels_.begin(), tunnels_.end(), belongs));
  };
  const std::size_t own = count([&](const auto& entry) { return entry.first.first == container; });
  const std::size_t of_workspace =
      count([&](const auto& entry) { return entry.second.workspace == workspace; });
  if (own >= limits_.per_container || of_workspace >= limits_.per_workspace ||
      tunnels_.size() >= limits_.all) {
    return Error::resource_exhausted(
        "a container has at most " + std::to_string(limits_.per_container) +
        " tunnels, a workspace " + std::to_string(limits_.per_workspace) + " and this server " +
        std::to_string(limits_.all) + "; close one first");
  }
  THAW_TRY(auto relay, net::PortRelay::open(loop_, host_, limits_.relay));
  // Whoever has the address by then: only the container that asked.
  auto find = [this, container, workspace, port, admits = std::move(admits)](
                  const std::string& peer) -> Result<net::PortRelay::Target> {
    if (admits && !admits(peer)) {
      return Error::permission_denied(peer + " may not connect to this port");
    }
    if (!has_room(workspace)) {
      return Error::resource_exhausted("there are too many connections through tunnels");
    }
    THAW_TRY(std::string at, address_of_(container));
    return net::PortRelay::Target{std::move(at), port};
  };
  relay->start(std::move(find), wire == Wire::tls ? identities : net::PortRelay::Identities());
  const std::uint16_t number = relay->port();
  tunnels_.emplace(Key{container, port}, Tunnel{workspace, std::move(relay)});
  return number;
}

std::optional<std::uint16_t> Tunnels::find(const model::ContainerId& container,
                                           std::uint16_t port) const {
  const auto tunnel = tunnels_.find({container, port});
  return tunnel == tunnels_.end() ? std::nullopt
                                  : std::optional<std::uint16_t>(tunnel->second.relay->port());
}

bool Tunnels::has_room(const model::WorkspaceId& workspace) const {
  std::size_t own = 0;
  std::size_t all = 0;
  for (const auto& [key, tunnel] : tunnels_) {
    all += tunnel.relay->connections();
    own += tunnel.workspace == workspace ? tunnel.relay->connections() : 0;
  }
  return own <= limits_.connections_per_workspace && all <= limits_.connections;
}

Task<bool> Tunnels::close(model::ContainerId container, std::uint16_t port) {
  const auto tunnel = tunnels_.find({std::move(container), port});
  if (tunnel == tunnels_.end()) {
    co_return false;
  }
  const std::unique_ptr<net::PortRelay> relay = std::move(tunnel->second.relay);
  tunnels_.erase(tunnel);
  THAW_CO_TRY_VOID(co_await relay->stop());
  co_return true;
}

Task<void> Tunnels::close_ended() {
  std::vector<Key> ended;
  for (const auto& [key, tunnel] : tunnels_) {
    const auto address = address_of_(key.first);
    if (!address && address.error().code() != Code::unavailable) {
      ended.push_back(key);
    } else if (used && tunnel.relay->connections() > 0) {
      used(key.first);
    }
  }
  Result<void> outcome;
  for (const Key& key : ended) {
    const Result<bool> closed = co_await close(key.first, key.second);
    if (!closed && outcome) {
      outcome = closed.error();
    }
  }
  co_return outcome;
}

}  // namespace thaw::gateway
