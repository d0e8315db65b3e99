// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/port_relay.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "thaw/async/within.h"
#include "thaw/net/detail/listener.h"
#include "thaw/net/detail/tls_session.h"

namespace thaw::net {

using async::Task;

namespace {

constexpr std::size_t piece_bytes = 16u << 10;  // of each direction of each connection
constexpr std::size_t pieces_at_once = 16;

bool is_later(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

// Counts a connection for as long as anything of it is there.
struct Counted {
  explicit Counted(std::size_t& of) : count(of) { ++count; }
  ~Counted() { --count; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  std::size_t& count;
};

// Two ends of one conversation; what is read from one is written to the other. Both directions hold
// it, whichever ends first.
struct Ends {
  explicit Ends(std::size_t& connections) : counted(connections) {}
  Counted counted;
  os::Fd client;
  os::Fd server;
  std::unique_ptr<detail::TlsSession> tls;  // of the client; null: plain
  async::FdWatch client_watch;
  async::FdWatch server_watch;
  Instant last{};  // when something came, either way
};
using EndsPtr = std::shared_ptr<Ends>;

// Of who waits for bytes that never come: the other direction's count too.
Task<void> until_readable(EndsPtr ends, async::FdWatch& watch, Duration idle) {
  while (true) {
    const Instant over = ends->last + idle;
    const Instant now = monotonic_now();
    if (over <= now) {
      co_return Error::deadline_exceeded("nothing came for too long");
    }
    Result<void> ready = co_await async::within(over - now, watch.readable());
    if (ready || ready.error().code() != Code::deadline_exceeded) {
      co_return ready;
    }
  }
}

Task<void> shake_hands(EndsPtr ends) {
  while (true) {
    switch (ends->tls->shake_hands()) {
      case detail::TlsSession::Step::done: co_return ok();
      case detail::TlsSession::Step::wants_read:
        THAW_CO_TRY_VOID(co_await ends->client_watch.readable());
        break;
      case detail::TlsSession::Step::wants_write:
        THAW_CO_TRY_VOID(co_await ends->client_watch.writable());
        break;
      case detail::TlsSession::Step::failed:
        co_return Error::failed_precondition(ends->tls->failure());
    }
    THAW_CO_TRY_VOID(co_await async::yield());  // a step costs as much as many requests
  }
}

ssize_t receive(Ends& ends, bool from_client, void* to, std::size_t room) {
  if (from_client && ends.tls) {
    return ends.tls->receive(to, room);
  }
  return ::recv(from_client ? ends.client.get() : ends.server.get(), to, room, 0);
}

ssize_t send(Ends& ends, bool to_client, const void* from, std::size_t size) {
  if (to_client && ends.tls) {
    return ends.tls->send(from, size);
  }
  return ::send(to_client ? ends.client.get() : ends.server.get(), from, size, MSG_NOSIGNAL);
}

// Until `from` has sent its last; a broken end breaks both.
enum class From { client, server };
Task<void> copy(EndsPtr ends, From sender, Duration idle) {
  const bool from_client = sender == From::client;
  async::FdWatch& readable = from_client ? ends->client_watch : ends->server_watch;
  async::FdWatch& writable = from_client ? ends->server_watch : ends->client_watch;
  std::vector<char> piece(piece_bytes);
  for (std::size_t at_once = 0;; ++at_once) {
    if (at_once == pieces_at_once) {
      // Both ends may be so quick that neither is ever waited for: others have their turn.
      THAW_CO_TRY_VOID(co_await async::yield());
      at_once = 0;
    }
    const ssize_t got = receive(*ends, from_client, piece.data(), piece.size());
    if (got < 0 && is_later(errno)) {
      THAW_CO_TRY_VOID(co_await until_readable(ends, readable, idle));
      continue;
    }
    if (got < 0) {
      co_return Error::from_errno(errno, "a relayed connection broke");
    }
    ends->last = monotonic_now();
    if (got == 0) {
      if (!from_client && ends->tls) {
        ends->tls->say_goodbye();
      }
      ::shutdown(from_client ? ends->server.get() : ends->client.get(), SHUT_WR);
      co_return ok();
    }
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t some =
          send(*ends, !from_client, piece.data() + sent, static_cast<std::size_t>(got - sent));
      if (some >= 0) {
        sent += some;
        continue;
      }
      if (!is_later(errno)) {
        co_return Error::from_errno(errno, "a relayed connection broke");
      }
      // Who takes nothing for so long is gone.
      THAW_CO_TRY_VOID(co_await async::within(idle, writable.writable()));
    }
  }
}

// A direction that breaks ends the other one: both ends see an end.
Task<void> copy_or_break_off(EndsPtr ends, From sender, Duration idle) {
  const Result<void> done = co_await copy(ends, sender, idle);
  if (!done) {
    ::shutdown(ends->client.get(), SHUT_RDWR);
    ::shutdown(ends->server.get(), SHUT_RDWR);
  }
  co_return ok();
}

// A literal address and a port as the kernel takes them.
struct Sockaddr {
  sockaddr_storage storage{};
  socklen_t size = 0;

  static Result<Sockaddr> of(const PortRelay::Target& target) {
    Sockaddr made;
    auto* const v4 = reinterpret_cast<sockaddr_in*>(&made.storage);
    auto* const v6 = reinterpret_cast<sockaddr_in6*>(&made.storage);
    if (::inet_pton(AF_INET, target.address.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(target.port);
      made.size = sizeof *v4;
    } else if (::inet_pton(AF_INET6, target.address.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(target.port);
      made.size = sizeof *v6;
    } else {
      return Error::invalid_argument("'" + target.address + "' is no address");
    }
    return made;
  }
};

Task<os::Fd> connect_to(async::Loop& loop, Sockaddr address, Duration limit) {
  os::Fd socket(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    co_return Error::from_errno(errno, "cannot make a socket");
  }
  const int yes = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) !=
      0) {
    if (errno != EINPROGRESS) {
      co_return Error::from_errno(errno, "cannot connect");
    }
    THAW_CO_TRY(async::FdWatch watch, async::FdWatch::make(loop, socket.get()));
    THAW_CO_TRY_VOID(co_await async::within(limit, watch.writable()));
    int failure = 0;
    socklen_t size = sizeof failure;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) {
      co_return Error::from_errno(failure, "cannot connect");
    }
  }
  co_return socket;
}

}  // namespace

PortRelay::PortRelay(async::Loop& loop, os::Fd listener, std::uint16_t port, RelayLimits limits)
    : loop_(loop), listener_(std::move(listener)), port_(port), limits_(limits), tasks_(loop) {}

Result<std::unique_ptr<PortRelay>> PortRelay::open(async::Loop& loop, const std::string& host,
                                                   RelayLimits limits) {
  THAW_TRY(detail::BoundTcp bound, detail::bind_tcp(host, 0));
  return std::unique_ptr<PortRelay>(new PortRelay(loop, std::move(bound.fd), bound.port, limits));
}

std::unique_ptr<PortRelay> PortRelay::of(async::Loop& loop, os::Fd listener, RelayLimits limits) {
  return std::unique_ptr<PortRelay>(new PortRelay(loop, std::move(listener), 0, limits));
}

void PortRelay::start(LookUpTarget look_up) {
  look_up_ = std::move(look_up);
  tasks_.start("relay of a port", accept_all(*this));
}

Task<PortRelay::Target> PortRelay::target_of(std::string peer) {
  if (look_up_) {
    co_return co_await look_up_();
  }
  co_return find_(peer);
}

void PortRelay::start(FindTarget find, Identities identities) {
  find_ = std::move(find);
  identities_ = std::move(identities);
  tasks_.start("relay of a port", accept_all(*this));
}

Task<void> PortRelay::accept_all(PortRelay& self) {
  constexpr Duration pause = 100ms;  // where descriptors have run out
  THAW_CO_TRY(async::FdWatch watch, async::FdWatch::make(self.loop_, self.listener_.get()));
  while (true) {
    auto accepted = detail::accept_one(self.listener_);
    if (!accepted) {
      THAW_CO_TRY_VOID(co_await async::sleep_for(pause));
      continue;
    }
    if (!accepted->fd.valid()) {
      // tidy(ends): it can only be cancelled
      THAW_CO_TRY_VOID(co_await watch.readable());
      continue;
    }
    if (self.connections_ < self.limits_.connections) {
      self.tasks_.start("relayed connection",
                        relay(self, std::move(accepted->fd), std::move(accepted->address)));
    }
  }
}

// What becomes of one connection is nobody's failure but its own.
Task<void> PortRelay::relay(PortRelay& self, os::Fd client, std::string peer) {
  const auto ends = std::make_shared<Ends>(self.connections_);
  ends->client = std::move(client);
  if (self.identities_) {
    const auto identities = self.identities_();
    auto watch = async::FdWatch::make(self.loop_, ends->client.get());
    if (!identities || !watch) {
      co_return ok();
    }
    ends->client_watch = std::move(*watch);
    ends->tls = std::make_unique<detail::TlsSession>(identities, ends->client.get());
    ends->tls->carry_anything();
    if (!co_await async::within(self.limits_.connect, shake_hands(ends))) {
      co_return ok();
    }
  }
  // Nobody waits between the look at who is there and the connection to it.
  const Result<Target> target = co_await self.target_of(std::move(peer));
  const Result<Sockaddr> address =
      target ? Sockaddr::of(*target) : Result<Sockaddr>(target.error());
  if (!address) {
    co_return ok();
  }
  auto server = co_await connect_to(self.loop_, *address, self.limits_.connect);
  if (!server) {
    co_return ok();
  }
  ends->server = std::move(*server);
  auto client_watch = ends->tls ? Result<async::FdWatch>(std::move(ends->client_watch))
                                : async::FdWatch::make(self.loop_, ends->client.get());
  auto server_watch = async::FdWatch::make(self.loop_, ends->server.get());
  if (!client_watch || !server_watch) {
    co_return ok();
  }
  ends->client_watch = std::move(*client_watch);
  ends->server_watch = std::move(*server_watch);
  ends->last = monotonic_now();
  self.tasks_.start("relayed answers", copy_or_break_off(ends, From::server, self.limits_.idle));
  co_return co_await copy_or_break_off(ends, From::client, self.limits_.idle);
}

}  // namespace thaw::net
