// SPDX-License-Identifier: Apache-2.0
//
// Tunnels: a container asks for a port of its own to be reached from outside, and a free port of
// this machine leads there, bytes untouched, for as long as it lives and wants it; where the server
// has certificates it may be one that speaks TLS, up to this machine. Each container
// and each workspace has so many at most, and so many connections through them: whoever comes then
// is let go at once. Loop thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "thaw/async/task_group.h"
#include "thaw/model/ids.h"
#include "thaw/net/port_relay.h"

namespace thaw::gateway {

struct TunnelLimits {
  std::size_t per_container = 8;
  std::size_t per_workspace = 64;
  std::size_t all = 512;
  // Of all tunnels together; each takes two descriptors, and memory while bytes are under way.
  std::size_t connections_per_workspace = 500;
  std::size_t connections = 2'000;
  net::RelayLimits relay = {};
};
// Of a server that may have so many descriptors: a part of them at most.
TunnelLimits within(TunnelLimits limits, std::uint64_t descriptors);

class Tunnels {
 public:
  // Of a container, while it lives. unavailable: it has not started yet.
  using AddressOf = std::function<Result<std::string>(const model::ContainerId&)>;
  // Whether a peer, "1.2.3.4:5", may come; empty: whoever does.
  using Admits = std::function<bool(const std::string& peer)>;

  // The loop outlives it.
  Tunnels(async::Loop& loop, AddressOf address_of, TunnelLimits limits = {})
      : loop_(loop), address_of_(std::move(address_of)), limits_(limits), tasks_(loop) {}

  // Hears now and then of containers that somebody is connected to; may be empty.
  std::function<void(const model::ContainerId&)> used;

  // What is shown where a tunnel speaks TLS; empty, or null: none can.
  net::PortRelay::Identities identities;
  bool have_tls() const { return identities && identities() != nullptr; }

  // Once the server listens: at which of the machine's addresses tunnels do.
  void start(std::string host);
  async::Task<void> stop();

  // The port of this machine. already_exists: that port has one; resource_exhausted;
  // failed_precondition: the container has no network, or this server offers none, or none with
  // TLS.
  enum class Wire { plain, tls };
  Result<std::uint16_t> open(const model::ContainerId& container,
                             const model::WorkspaceId& workspace, std::uint16_t port, Wire wire,
                             Admits admits = {});
  // That port of this machine, where there is a tunnel.
  std::optional<std::uint16_t> find(const model::ContainerId& container, std::uint16_t port) const;
  // Resumes when its connections have ended; false: there was none.
  async::Task<bool> close(model::ContainerId container, std::uint16_t port);

  std::size_t size() const { return tunnels_.size(); }

 private:
  struct Tunnel {
    model::WorkspaceId workspace;
    std::unique_ptr<net::PortRelay> relay;
  };
  using Key = std::pair<model::ContainerId, std::uint16_t>;
  async::Task<void> close_ended();
  // With one that has come just now, there are no more than may be.
  bool has_room(const model::WorkspaceId& workspace) const;

  async::Loop& loop_;
  AddressOf address_of_;
  TunnelLimits limits_;
  std::string host_;
  std::map<Key, Tunnel> tunnels_;
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::gateway
