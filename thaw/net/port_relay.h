// SPDX-License-Identifier: Apache-2.0
//
// PortRelay: whoever connects to a port of this machine talks to another address, bytes untouched,
// both ways, each direction as long as its sender has not said its last. Where the port speaks TLS
// the connection is encrypted up to here, and no further. A connection that carries nothing for
// long ends, and there are so many at most: one more is closed at once. Loop thread only; stop()
// before it is destroyed.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "thaw/async/fd_ready.h"
#include "thaw/async/task_group.h"
#include "thaw/net/tls.h"
#include "thaw/os/fd.h"

namespace thaw::net {

struct RelayLimits {
  std::size_t connections = 100;
  Duration connect = std::chrono::seconds(10);  // and for the handshake of TLS
  Duration idle = std::chrono::minutes(10);     // nothing either way
};

class PortRelay {
 public:
  // Listens at `host` on a free port. The Error names what cannot be listened on.
  static Result<std::unique_ptr<PortRelay>> open(async::Loop& loop, const std::string& host,
                                                 RelayLimits limits = {});
  // Of a socket that listens already, without blocking.
  static std::unique_ptr<PortRelay> of(async::Loop& loop, os::Fd listener, RelayLimits limits = {});
  // Where a connection from `peer` ("1.2.3.4:5", "[fd00::1]:5") that has come just now, and is one
  // of connections(), goes: "1.2.3.4" and a port; an Error: nowhere.
  struct Target {
    std::string address;
    std::uint16_t port = 0;
  };
  using FindTarget = std::function<Result<Target>(const std::string& peer)>;
  // The same where it takes its time, "fd00::1" too.
  using LookUpTarget = std::function<async::Task<Target>()>;
  // What a new connection is shown; null: it is closed.
  using Identities = std::function<std::shared_ptr<const TlsIdentities>()>;
  // Begins to accept. With `identities` all who come are to speak TLS.
  void start(FindTarget find, Identities identities = {});
  void start(LookUpTarget look_up);
  std::uint16_t port() const { return port_; }
  std::size_t connections() const { return connections_; }
  // Ends the connections, too.
  async::Task<void> stop() { return tasks_.stop(); }

 private:
  PortRelay(async::Loop& loop, os::Fd listener, std::uint16_t port, RelayLimits limits);
  static async::Task<void> accept_all(PortRelay& self);
  static async::Task<void> relay(PortRelay& self, os::Fd client, std::string peer);
  async::Task<Target> target_of(std::string peer);

  async::Loop& loop_;
  os::Fd listener_;
  std::uint16_t port_ = 0;
  FindTarget find_;
  Identities identities_;
  LookUpTarget look_up_;
  RelayLimits limits_;
  std::size_t connections_ = 0;
  async::TaskGroup tasks_;  // declared last: joined first
};

}  // namespace thaw::net
