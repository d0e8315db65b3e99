// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/first_bytes.h"

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>

#include "thaw/base/log.h"

namespace thaw::net::detail {

namespace asio = boost::asio;

namespace {

constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Of the record that a TLS connection begins with.
constexpr char handshake_record = 0x16;

// A connection that has not yet shown its protocol: closed by a drain and at its deadline.
class Sniffing : public LiveConnection {
 public:
  Sniffing(ServerCore& core, std::shared_ptr<Account> account, Socket& socket, Instant deadline)
      : socket_(socket), alarm_([this] { end(); }) {
    core.timer.arm(alarm_, deadline);
    counted = std::move(account);
    core.connections.push_back(*this);
    core.rests(*this);
  }
  void begin_drain() override { end(); }
  void give_way() override { end(); }

 private:
  void end() {
    boost::system::error_code ignored;
    socket_.close(ignored);
  }

  Socket& socket_;
  CoarseTimer::Alarm alarm_;
};

enum class First { http1, http2, tls };

// Left where it is: who waits for his handshake holds nothing here.
bool begins_tls(Socket& socket) {
  char first = 0;
  return ::recv(socket.native_handle(), &first, 1, MSG_PEEK | MSG_DONTWAIT) == 1 &&
         first == handshake_record;
}

// Reads until the first bytes cannot be, or are, the HTTP/2 preface; nothing of TLS.
async::Task<First> sniff(ServerCore& core, Socket& socket, const Peer& peer, std::string& read) {
  const bool may_be_tls = core.tls && !socket.tls && peer.transport == Peer::Transport::tcp;
  while (true) {
    if (co_await async::is_cancelled()) {
      co_return Error::cancelled("cancelled while the protocol is sniffed");
    }
    if (!socket.knows_more()) {
      const auto [error] =
          co_await socket.async_wait(Socket::wait_read, asio::as_tuple(asio::use_awaitable));
      if (error) {
        co_return Error::cancelled("the connection was closed before its protocol was known");
      }
    }
    if (may_be_tls && read.empty() && begins_tls(socket)) {
      co_return First::tls;
    }
    const ssize_t count = socket.receive_now(core.read_buffer.data(), core.read_buffer.size());
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
      continue;
    }
    if (count <= 0) {
      co_return Error::cancelled("the peer closed before its protocol was known");
    }
    read.append(core.read_buffer.data(), static_cast<std::size_t>(count));
    if (!read.starts_with(http2_preface.substr(0, read.size()))) {
      co_return First::http1;
    }
    if (read.size() >= http2_preface.size()) {
      co_return First::http2;
    }
  }
}

// A step may cost more than a slice of the loop's time: it counts as used, and waits for its turn.
async::Task<void> shake_hands(ServerCore& core, Account& account, Socket& socket) {
  TurnShare own;
  while (true) {
    if (core.turns.is_greedy(own, account.turns, monotonic_now())) {
      THAW_CO_TRY_VOID(co_await core.turns.wait(own, account.turns));
    }
    if (!socket.is_open() || co_await async::is_cancelled()) {
      co_return Error::cancelled("closed during the handshake");
    }
    const Instant began = monotonic_now();
    const TlsSession::Step step = socket.tls->shake_hands();
    const Instant ended = monotonic_now();
    core.turns.spend(own, account.turns, ended - began, ended);
    if (step == TlsSession::Step::done) {
      co_return ok();
    }
    if (step == TlsSession::Step::failed) {
      co_return Error::invalid_argument(socket.tls->failure());
    }
    const auto what = step == TlsSession::Step::wants_read ? Socket::wait_read : Socket::wait_write;
    const auto [error] = co_await socket.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) {
      co_return Error::cancelled("closed during the handshake");
    }
  }
}

async::Task<void> begin_tls(ServerCore& core, const std::shared_ptr<Account>& account,
                            Socket& socket, Instant deadline, Held& held) {
  const Sniffing sniffing(core, account, socket, deadline);
  THAW_CO_TRY(const auto place, co_await core.handshakes.enter(*account, socket, deadline));
  held.set(TlsSession::bytes);
  socket.tls = std::make_unique<TlsSession>(core.tls, socket.native_handle());
  co_return co_await shake_hands(core, *account, socket);
}

}  // namespace

async::Task<Protocol> tell_protocol(Newcomer newcomer, Socket& socket, Peer& peer,
                                    std::string& read) {
  ServerCore& core = *newcomer.core;
  const Instant deadline = newcomer.accepted_at + core.limits.header_timeout;
  Result<First> first = First::http1;
  Held held(newcomer.account);  // until its protocol's own state counts it
  {
    const Sniffing sniffing(core, newcomer.account, socket, deadline);
    first = co_await sniff(core, socket, peer, read);
  }
  if (first && *first == First::tls) {
    const Instant latest = std::min(deadline, newcomer.accepted_at + core.limits.handshake_timeout);
    const auto secured = co_await begin_tls(core, newcomer.account, socket, latest, held);
    if (!secured) {
      ++core.stats.handshakes_failed;
      log_debug("tls handshake failed",
                {{"peer", peer.address}, {"why", secured.error().message()}});
      co_return secured.error();
    }
    ++core.stats.handshakes_done;
    peer.wire = Peer::Wire::tls;
    const Sniffing sniffing(core, newcomer.account, socket, deadline);
    first = co_await sniff(core, socket, peer, read);
  }
  if (!first) {
    co_return first.error();
  }
  co_return *first == First::http2 ? Protocol::http2 : Protocol::http1;
}

}  // namespace thaw::net::detail
