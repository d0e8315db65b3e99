// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <set>
#include <unordered_map>

#include "thaw/async/task_group.h"
#include "thaw/base/log.h"
#include "thaw/net/detail/first_bytes.h"
#include "thaw/net/detail/http1_session.h"
#include "thaw/net/detail/http2_session.h"
#include "thaw/net/detail/listener.h"
#include "thaw/net/detail/plain_refusal.h"
#include "thaw/net/detail/server_core.h"

namespace thaw::net {

namespace asio = boost::asio;
using detail::Account;
using detail::Http1Connection;
using detail::Http2Session;
using detail::LiveConnection;
using detail::Protocol;
using detail::ServerCore;
using detail::Service;
using detail::Socket;

namespace {

// Of an address and port. An IPv6 peer has at least a network of 64 bits to itself.
std::string host_of(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  in6_addr bits{};
  if (host.starts_with('[') &&
      inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &bits) == 1) {
    if (IN6_IS_ADDR_V4MAPPED(&bits)) {
      return host;
    }
    std::fill(bits.s6_addr + 8, bits.s6_addr + 16, std::uint8_t{0});
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(AF_INET6, &bits, text, sizeof text);
    host = std::string(text) + "/64";
  }
  return host;
}

}  // namespace

// Shared with the tasks of connections, which may end after the Server.
struct Server::State : std::enable_shared_from_this<Server::State> {
  using Descriptor = asio::posix::basic_stream_descriptor<detail::Executor>;

  struct Listener {
    os::Fd fd;
    std::shared_ptr<const Service> service;
    std::string identity = {};
    std::string unix_path = {};
    Peer::Transport transport = Peer::Transport::tcp;
    Admission whose = {};  // of a door
    async::TaskGroup::Handle task = {};
  };
  // A connection, for closing those of one identity.
  struct Open {
    std::string identity;
    Peer::Transport transport = Peer::Transport::tcp;
    std::shared_ptr<Account> account;  // whose it counts as
    async::TaskGroup::Handle task = {};
    LiveConnection* live = nullptr;  // once its protocol is known
  };
  // What is there under the name of one Unix socket or door.
  struct Named {
    std::set<std::shared_ptr<Listener>> listeners;
    std::set<std::shared_ptr<Open>> open;
  };

  State(async::Loop& loop, const GrpcTable& grpc_table, HttpHandler handler,
        const ServerLimits& limits)
      : core(std::make_shared<ServerCore>(loop, limits)),
        service(std::make_shared<const Service>(Service{&grpc_table, std::move(handler)})),
        tasks(loop) {}

  std::shared_ptr<ServerCore> core;
  std::shared_ptr<const Service> service;
  std::set<std::shared_ptr<Listener>> listeners;
  std::unordered_map<std::string, Named> named;
  // Those who connect wait in the kernel's backlog.
  bool is_held = false;
  bool asks_for_tls = false;  // other machines, at the ports that serve everything
  std::vector<std::shared_ptr<Listener>> held;
  Instant warned_at{};  // peers may be refused oftener than anybody wants to read
  async::TaskGroup tasks;

  void listen(Listener made) {
    auto listener = std::make_shared<Listener>(std::move(made));
    listeners.insert(listener);
    if (!listener->identity.empty()) {
      named[listener->identity].listeners.insert(listener);
    }
    if (is_held) {
      held.push_back(std::move(listener));
    } else {
      begin(listener);
    }
  }

  void begin(const std::shared_ptr<Listener>& listener) {
    listener->task = tasks.start("accept", accept(shared_from_this(), listener));
  }

  // The file goes at once, so that nobody finds a socket that nobody serves.
  void close(const std::shared_ptr<Listener>& listener) {
    listener->task.cancel();
    if (!listener->unix_path.empty()) {
      ::unlink(listener->unix_path.c_str());
    }
  }

  template <class Change>
  void change_named(const std::string& identity, Change change) {
    if (identity.empty()) {
      return;
    }
    const auto found = named.try_emplace(identity).first;
    change(found->second);
    if (found->second.listeners.empty() && found->second.open.empty()) {
      named.erase(found);
    }
  }

  void warn(const char* what, const std::string& why) {
    const Instant now = monotonic_now();
    if (now - warned_at > 1s) {
      warned_at = now;
      log_warning(what, {{"why", why}});
    }
  }

  std::size_t limit_of(const Account& account, const Open& open) const {
    const auto& limits = core->limits;
    if (open.transport == Peer::Transport::door) {
      return std::min(limits.connections_per_door,
                      std::max<std::size_t>(limits.connections / 8, 1));
    }
    if (!open.identity.empty()) {
      return std::min(limits.connections_per_container,
                      std::max<std::size_t>(limits.connections / 8, 1));
    }
    const bool is_owner = account.limit() > core->shares->limit() / 4;
    return is_owner ? limits.connections / 2
                    : std::min(limits.connections_per_address, limits.connections / 2);
  }

  // Of those that rest longest the one whose account has the most connections.
  bool make_room() {
    constexpr int looked_at = 64;
    detail::Resting* found = nullptr;
    int left = looked_at;
    for (auto& resting : core->resting) {
      if (resting.counted &&
          (found == nullptr || resting.counted->connections > found->counted->connections)) {
        found = &resting;
      }
      if (--left == 0) {
        break;
      }
    }
    if (found != nullptr) {
      ServerCore::works(*found);
      found->give_way();
    }
    return found != nullptr;
  }

  bool make_room_in(Account& account) {
    if (account.resting.empty()) {
      return false;
    }
    detail::Resting& oldest = account.resting.front();
    ServerCore::works(oldest);
    oldest.give_way();
    return true;
  }

  // False: the peer, or all together, have as many connections as they may, and none rests.
  bool has_place(const Open& open) {
    if (open.identity == "admin") {
      return true;
    }
    Account& account = *open.account;
    if (account.connections >= limit_of(account, open) && !make_room_in(account)) {
      warn("connection refused", account.name() + " has " + std::to_string(account.connections) +
                                     " connections with requests, as many as it may");
      return false;
    }
    if (core->stats.connections_open >= core->limits.connections && !make_room()) {
      warn("connection refused", "all " + std::to_string(core->limits.connections) +
                                     " connections that this server may have are in use");
      return false;
    }
    return true;
  }

  std::shared_ptr<Account> account_of(const Listener& listener, const Peer& peer) const {
    using Kind = detail::Shares::Kind;
    switch (listener.transport) {
      case Peer::Transport::tcp:
        return core->shares->account(Kind::peer, "address " + host_of(peer.address));
      case Peer::Transport::unix_socket:
        return core->shares->account(Kind::peer, "the socket of " + listener.identity);
      case Peer::Transport::door: break;
    }
    return core->shares->account(Kind::peer, listener.whose.account,
                                 core->shares->account(Kind::owner, listener.whose.within));
  }

  void admit(const Listener& listener, detail::Accepted accepted) {
    Peer peer{listener.transport, std::move(accepted.address), listener.identity};
    if (peer.transport == Peer::Transport::door) {
      peer.address.clear();  // it says nothing
    }
    const auto entry = std::make_shared<Open>(
        Open{listener.identity, listener.transport, account_of(listener, peer)});
    if (!has_place(*entry)) {
      return;
    }
    Socket socket(core->loop.context().get_executor());
    boost::system::error_code error;
    socket.assign(asio::generic::stream_protocol(accepted.family, 0), accepted.fd.get(), error);
    if (error) {
      warn("connection refused", error.message());
      return;
    }
    accepted.fd.release();
    entry->task = tasks.start("connection", serve(shared_from_this(), entry, std::move(socket),
                                                  std::move(peer), listener.service));
  }

  static async::Task<void> accept(std::shared_ptr<State> self, std::shared_ptr<Listener> listener) {
    // Then others have their turn.
    constexpr int at_a_time = 4;
    Descriptor descriptor(self->core->loop.context().get_executor(), listener->fd.get());
    while (!co_await async::is_cancelled()) {
      const auto [error] = co_await descriptor.async_wait(Descriptor::wait_read,
                                                          asio::as_tuple(asio::use_awaitable));
      if (error) {
        break;
      }
      auto accepted = detail::accept_one(listener->fd);
      for (int left = at_a_time; accepted && accepted->fd.valid(); --left) {
        self->admit(*listener, std::move(*accepted));
        if (left == 1) {
          break;
        }
        accepted = detail::accept_one(listener->fd);
      }
      if (!accepted) {
        // Whoever rests gives way; until then the peers wait in the backlog.
        self->warn("cannot accept connections", accepted.error().to_string());
        self->make_room();
        THAW_CO_TRY_VOID(co_await async::sleep_for(20ms));
      }
    }
    descriptor.release();
    listener->fd.reset();
    self->listeners.erase(listener);
    self->change_named(listener->identity, [&](Named& there) { there.listeners.erase(listener); });
    co_return ok();
  }

  // Counts a connection from its start to its end, however that comes.
  class Presence {
   public:
    Presence(State& state, std::shared_ptr<Open> entry) : state_(state), entry_(std::move(entry)) {
      state_.change_named(entry_->identity, [&](Named& there) { there.open.insert(entry_); });
      ++entry_->account->connections;
      ++state_.core->stats.connections_open;
    }
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    ~Presence() {
      state_.change_named(entry_->identity, [&](Named& there) { there.open.erase(entry_); });
      --entry_->account->connections;
      --state_.core->stats.connections_open;
    }

   private:
    State& state_;
    std::shared_ptr<Open> entry_;
  };

  // The peer has shown a token: its connection is one of the token's owner.
  void move_to_owner(Open& open, Http2Session& session, const std::shared_ptr<Account>& owner) {
    if (!open.identity.empty() || owner->connections >= limit_of(*owner, open)) {
      return;
    }
    --open.account->connections;
    open.account = owner;
    ++open.account->connections;
    ServerCore::works(session);
    session.counted = owner;
  }

  static async::Task<void> serve(std::shared_ptr<State> self, std::shared_ptr<Open> entry,
                                 Socket socket, Peer peer, std::shared_ptr<const Service> served) {
    const Presence presence(*self, entry);
    const Instant accepted_at = monotonic_now();
    std::string read;
    Result<Protocol> protocol = Protocol::http1;
    if (peer.transport != Peer::Transport::door) {
      protocol = co_await detail::tell_protocol({self->core, entry->account, accepted_at}, socket,
                                                peer, read);
    }
    if (!protocol) {
      co_return ok();
    }
    if (self->asks_for_tls && peer.transport == Peer::Transport::tcp &&
        peer.wire == Peer::Wire::plain && served == self->service && detail::is_from_afar(socket)) {
      co_return co_await detail::refuse_plain(self->core, std::move(socket), *protocol);
    }
    if (*protocol == Protocol::http2) {
      Http2Session session(std::move(socket), std::move(peer), std::move(served), self->core,
                           entry->account);
      entry->live = &session;
      session.on_owner = [&](const std::shared_ptr<Account>& owner) {
        self->move_to_owner(*entry, session, owner);
      };
      auto outcome = co_await session.run(std::move(read));
      entry->live = nullptr;
      co_return outcome;
    }
    const auto* handler = &served->handler;
    Http1Connection connection{std::move(socket), std::move(read), std::move(peer), handler,
                               self->core,        entry->account,  accepted_at,     &entry->live};
    const auto outcome = co_await detail::run_http1(std::move(connection));
    if (!outcome) {
      log_debug("http1 connection ended", {{"error", outcome.error().to_string()}});
    }
    co_return ok();
  }
};

Server::Server(async::Loop& loop, const GrpcTable& table, HttpHandler handler, ServerLimits limits)
    : state_(std::make_shared<State>(loop, table, std::move(handler), limits)) {}

Server::~Server() {
  for (const auto& listener : std::set(state_->listeners)) {
    state_->close(listener);
  }
  state_->tasks.cancel();
}

void Server::hold() { state_->is_held = true; }

void Server::begin() {
  state_->is_held = false;
  for (const auto& listener : std::exchange(state_->held, {})) {
    state_->begin(listener);
  }
}

Result<std::uint16_t> Server::listen_tcp(const std::string& host, std::uint16_t port) {
  THAW_TRY(auto bound, detail::bind_tcp(host, port));
  state_->listen({.fd = std::move(bound.fd), .service = state_->service});
  return bound.port;
}

Result<std::uint16_t> Server::listen_http_only(const std::string& host, std::uint16_t port,
                                               HttpHandler handler) {
  THAW_TRY(auto bound, detail::bind_tcp(host, port));
  auto service = std::make_shared<const Service>(Service{nullptr, std::move(handler)});
  state_->listen({.fd = std::move(bound.fd), .service = std::move(service)});
  return bound.port;
}

void Server::speak_tls(std::shared_ptr<const TlsIdentities> identities) {
  state_->core->tls = std::move(identities);
}

void Server::ask_for_tls() { state_->asks_for_tls = true; }

std::shared_ptr<const TlsIdentities> Server::tls_identities() const { return state_->core->tls; }

Result<void> Server::listen_unix(const std::string& path, const std::string& identity) {
  THAW_TRY(auto fd, detail::bind_unix(path));
  state_->listen({.fd = std::move(fd),
                  .service = state_->service,
                  .identity = identity,
                  .unix_path = path,
                  .transport = Peer::Transport::unix_socket});
  return ok();
}

Result<void> Server::listen_door(os::Fd listening, const std::string& identity, Admission whose) {
  if (!listening.valid() || identity.empty() || whose.account.empty() || whose.within.empty()) {
    return Error::invalid_argument("a door is a listening socket, and somebody's");
  }
  state_->listen({.fd = std::move(listening),
                  .service = state_->service,
                  .identity = identity,
                  .transport = Peer::Transport::door,
                  .whose = std::move(whose)});
  return ok();
}

void Server::close_identity(const std::string& identity) {
  const auto found = state_->named.find(identity);
  if (found == state_->named.end()) {
    return;
  }
  const State::Named there = found->second;
  for (const auto& listener : there.listeners) {
    state_->close(listener);
  }
  for (const auto& open : there.open) {
    open->task.cancel();
  }
}

Server::Traffic Server::traffic(const std::string& identity) const {
  Traffic traffic;
  const auto count = [&traffic](bool is_quiet) {
    traffic.wire = is_quiet ? traffic.wire : Traffic::Wire::in_flight;
  };
  const auto found = state_->named.find(identity);
  if (found == state_->named.end()) {
    return traffic;
  }
  for (const auto& open : found->second.open) {
    ++traffic.connections;
    count(open->live != nullptr && open->live->is_quiet());
    traffic.exchanges += open->live != nullptr ? open->live->exchanges() : 0;
  }
  for (const auto& listener : found->second.listeners) {
    pollfd waiting{listener->fd.get(), POLLIN, 0};
    const bool is_new = ::poll(&waiting, 1, 0) != 0;
    traffic.connections += is_new ? 1 : 0;
    count(!is_new);
  }
  return traffic;
}

async::Task<void> Server::drain(Instant deadline) {
  const auto state = state_;
  state->core->draining = true;
  for (const auto& listener : std::set(state->listeners)) {
    state->close(listener);
  }
  auto& connections = state->core->connections;
  for (auto next = connections.begin(); next != connections.end();) {
    (next++)->begin_drain();
  }
  THAW_CO_TRY([[maybe_unused]] const bool all, co_await state->tasks.join(deadline));
  co_return co_await state->tasks.stop();
}

Server::Stats Server::stats() const {
  Stats stats = state_->core->stats;
  stats.handshakes_open = state_->core->handshakes.under_way();
  return stats;
}

}  // namespace thaw::net
