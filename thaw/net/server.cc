// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/server.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <list>

#include "thaw/async/task_group.h"
#include "thaw/base/log.h"
#include "thaw/net/detail/http1_session.h"
#include "thaw/net/detail/http2_session.h"
#include "thaw/net/detail/listener.h"
#include "thaw/net/detail/server_core.h"

namespace thaw::net {

namespace asio = boost::asio;
using detail::Http1Connection;
using detail::Http2Session;
using detail::LiveConnection;
using detail::ServerCore;
using detail::Service;
using detail::Socket;

namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// A connection that has not yet shown its protocol: closed by a drain and after header_timeout.
class Sniffing : public LiveConnection {
 public:
  Sniffing(ServerCore& core, Socket& socket) : socket_(socket), alarm_([this] { end(); }) {
    core.timer.arm(alarm_, monotonic_now() + core.limits.header_timeout);
    core.connections.push_back(*this);
  }
  void begin_drain() override { end(); }

 private:
  void end() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  Socket& socket_;
  detail::CoarseTimer::Alarm alarm_;
};

enum class Protocol { http1, http2 };

// Reads until the first bytes cannot be, or are, the HTTP/2 preface.
async::Task<Protocol> sniff(ServerCore& core, Socket& socket, std::string& read) {
  const Sniffing sniffing(core, socket);
  while (true) {
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("cancelled while the protocol is sniffed");
    }
    const auto [error] =
        co_await socket.async_wait(Socket::wait_read, asio::as_tuple(asio::use_awaitable));
    if (error) {
      co_return Error::cancelled("the connection was closed before its protocol was known");
    }
    const ssize_t count =
        ::recv(socket.native_handle(), core.read_buffer.data(), core.read_buffer.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      continue;
    }
    if (count <= 0) {
      co_return Error::cancelled("the peer closed before its protocol was known");
    }
    read.append(core.read_buffer.data(), static_cast<std::size_t>(count));
    if (!read.starts_with(http2_preface.substr(0, read.size()))) {
      co_return Protocol::http1;
    }
    if (read.size() >= http2_preface.size()) {
      co_return Protocol::http2;
    }
  }
}

}  // namespace

// Shared with the tasks of connections, which may end after the Server.
struct Server::State : std::enable_shared_from_this<Server::State> {
  using Descriptor = asio::posix::basic_stream_descriptor<detail::Executor>;

  struct Listener {
    os::Fd fd;
    std::string unix_path;
    std::string identity;
    std::shared_ptr<const Service> service;
    async::TaskGroup::Handle task;
  };
  // A connection, for closing those of one identity.
  struct Open {
    std::string identity;
    async::TaskGroup::Handle task;
    Http2Session* session = nullptr;  // once its protocol is known to be HTTP/2
  };

  State(async::Loop& loop, const GrpcTable& grpc_table, HttpHandler handler,
        const ServerLimits& limits)
      : core(std::make_shared<ServerCore>(loop, limits)),
        service(std::make_shared<const Service>(Service{&grpc_table, std::move(handler)})),
        tasks(loop) {}

  std::shared_ptr<ServerCore> core;
  std::shared_ptr<const Service> service;
  std::list<std::shared_ptr<Listener>> listeners;
  std::list<std::shared_ptr<Open>> open;
  async::TaskGroup tasks;

  void listen(os::Fd fd, std::string unix_path, std::string identity,
              std::shared_ptr<const Service> served) {
    auto listener = std::make_shared<Listener>(
        Listener{std::move(fd), std::move(unix_path), std::move(identity), std::move(served), {}});
    listeners.push_back(listener);
    listener->task = tasks.start("accept", accept(shared_from_this(), listener));
  }

  // The file goes at once, so that nobody finds a socket that nobody serves.
  void close(const std::shared_ptr<Listener>& listener) {
    listener->task.cancel();
    if (!listener->unix_path.empty()) {
      ::unlink(listener->unix_path.c_str());
    }
  }

  void admit(const Listener& listener, detail::Accepted accepted) {
    if (core->stats.connections_open >= core->limits.connections) {
      log_warning("connection refused: too many are open", {{"peer", accepted.address}});
      return;
    }
    Peer peer{accepted.family == AF_UNIX ? Peer::Transport::unix_socket : Peer::Transport::tcp,
              std::move(accepted.address), listener.identity};
    Socket socket(core->loop.context().get_executor());
    boost::system::error_code error;
    socket.assign(asio::generic::stream_protocol(accepted.family, 0), accepted.fd.get(), error);
    if (error) {
      log_warning("connection refused", {{"error", error.message()}});
      return;
    }
    accepted.fd.release();
    const auto entry = std::make_shared<Open>(Open{listener.identity, {}, nullptr});
    entry->task = tasks.start("connection", serve(shared_from_this(), entry, std::move(socket),
                                                  std::move(peer), listener.service));
  }

  static async::Task<void> accept(std::shared_ptr<State> self, std::shared_ptr<Listener> listener) {
    Descriptor descriptor(self->core->loop.context().get_executor(), listener->fd.get());
    while (!co_await async::is_cancelled()) {
      const auto [error] = co_await descriptor.async_wait(Descriptor::wait_read,
                                                          asio::as_tuple(asio::use_awaitable));
      if (error) {
        break;
      }
      auto accepted = detail::accept_one(listener->fd);
      while (accepted && accepted->fd.valid()) {
        self->admit(*listener, std::move(*accepted));
        accepted = detail::accept_one(listener->fd);
      }
      if (!accepted) {
        log_error("cannot accept connections", {{"error", accepted.error().to_string()}});
        // Files may be closed meanwhile; the peers wait in the backlog.
        THAW_CO_TRY_VOID(co_await async::sleep_for(100ms));
      }
    }
    descriptor.release();
    listener->fd.reset();
    self->listeners.remove(listener);
    co_return ok();
  }

  // Counts a connection from its start to its end, however that comes.
  class Presence {
   public:
    Presence(State& state, std::shared_ptr<Open> entry) : state_(state), entry_(std::move(entry)) {
      state_.open.push_back(entry_);
      ++state_.core->stats.connections_open;
    }
    Presence(const Presence&) = delete;
    Presence& operator=(const Presence&) = delete;
    ~Presence() {
      state_.open.remove(entry_);
      --state_.core->stats.connections_open;
    }

   private:
    State& state_;
    std::shared_ptr<Open> entry_;
  };

  static async::Task<void> serve(std::shared_ptr<State> self, std::shared_ptr<Open> entry,
                                 Socket socket, Peer peer, std::shared_ptr<const Service> served) {
    const Presence presence(*self, entry);
    const Instant accepted_at = monotonic_now();
    std::string read;
    const auto protocol = co_await sniff(*self->core, socket, read);
    if (!protocol) {
      co_return ok();
    }
    if (*protocol == Protocol::http2) {
      Http2Session session(std::move(socket), std::move(peer), std::move(served), self->core);
      entry->session = &session;
      auto outcome = co_await session.run(std::move(read));
      entry->session = nullptr;
      co_return outcome;
    }
    const auto* handler = &served->handler;
    Http1Connection connection{std::move(socket), std::move(read), std::move(peer),
                               handler,           self->core,      accepted_at};
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
  for (const auto& listener : std::list(state_->listeners)) {
    state_->close(listener);
  }
  state_->tasks.cancel();
}

Result<std::uint16_t> Server::listen_tcp(const std::string& host, std::uint16_t port) {
  THAW_TRY(auto bound, detail::bind_tcp(host, port));
  state_->listen(std::move(bound.fd), {}, {}, state_->service);
  return bound.port;
}

Result<std::uint16_t> Server::listen_http_only(const std::string& host, std::uint16_t port,
                                               HttpHandler handler) {
  THAW_TRY(auto bound, detail::bind_tcp(host, port));
  auto service = std::make_shared<const Service>(Service{nullptr, std::move(handler)});
  state_->listen(std::move(bound.fd), {}, {}, std::move(service));
  return bound.port;
}

Result<void> Server::listen_unix(const std::string& path, const std::string& identity) {
  THAW_TRY(auto fd, detail::bind_unix(path));
  state_->listen(std::move(fd), path, identity, state_->service);
  return ok();
}

void Server::close_unix(const std::string& identity) {
  for (const auto& listener : std::list(state_->listeners)) {
    if (!listener->unix_path.empty() && listener->identity == identity) {
      state_->close(listener);
    }
  }
  for (const auto& open : std::list(state_->open)) {
    if (open->identity == identity) {
      open->task.cancel();
    }
  }
}

Server::Traffic Server::traffic(const std::string& identity) const {
  Traffic traffic;
  const auto count = [&traffic](bool is_quiet) {
    traffic.wire = is_quiet ? traffic.wire : Traffic::Wire::in_flight;
  };
  for (const auto& open : state_->open) {
    if (open->identity == identity) {
      ++traffic.connections;
      count(open->session != nullptr && open->session->is_quiet());
      traffic.exchanges += open->session != nullptr ? open->session->exchanges() : 0;
    }
  }
  for (const auto& listener : state_->listeners) {
    if (listener->identity == identity) {
      pollfd waiting{listener->fd.get(), POLLIN, 0};
      const bool is_new = ::poll(&waiting, 1, 0) != 0;
      traffic.connections += is_new ? 1 : 0;
      count(!is_new);
    }
  }
  return traffic;
}

async::Task<void> Server::drain(Instant deadline) {
  const auto state = state_;
  state->core->draining = true;
  for (const auto& listener : std::list(state->listeners)) {
    state->close(listener);
  }
  auto& connections = state->core->connections;
  for (auto next = connections.begin(); next != connections.end();) {
    (next++)->begin_drain();
  }
  THAW_CO_TRY([[maybe_unused]] const bool all, co_await state->tasks.join(deadline));
  co_return co_await state->tasks.stop();
}

Server::Stats Server::stats() const { return state_->core->stats; }

}  // namespace thaw::net
