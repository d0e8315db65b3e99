// SPDX-License-Identifier: Apache-2.0
//
// Socket: a connected byte stream, TCP or Unix, on the loop's own executor (no type-erased one, so
// that operations are cheap), with TLS upon it or without. Everything above reads and writes bytes
// through receive_now() and send_now(), which are recv(2) and send(2) where there is no TLS, and
// asks nothing of the address family.
#pragma once

#include <sys/socket.h>

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cerrno>
#include <memory>
#include <span>

#include "thaw/net/detail/tls_session.h"

namespace thaw::net::detail {

using Executor = boost::asio::io_context::executor_type;

class Socket
    : public boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol, Executor> {
 public:
  using basic_stream_socket::basic_stream_socket;

  ssize_t receive_now(void* to, std::size_t room) {
    if (tls) {
      return is_usable() ? tls->receive(to, room) : -1;
    }
    return ::recv(native_handle(), to, room, 0);
  }
  ssize_t send_now(const void* from, std::size_t size) {
    if (tls) {
      return is_usable() ? tls->send(from, size) : -1;
    }
    return ::send(native_handle(), from, size, MSG_NOSIGNAL);
  }
  ssize_t send_now(std::span<const iovec> pieces) {
    if (tls) {
      return is_usable() ? tls->send(pieces) : -1;
    }
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());  // as sendmsg(2) has it, which only reads
    message.msg_iovlen = pieces.size();
    return ::sendmsg(native_handle(), &message, MSG_NOSIGNAL);
  }
  // There may be input that the kernel does not tell of.
  bool knows_more() const { return tls && tls->knows_more(); }
  // Behind what was sent: the peer can tell an end from a cut.
  void say_goodbye() {
    if (tls && is_usable()) {
      tls->say_goodbye();
    }
  }
  // What it costs beside its owner's buffers.
  std::size_t tls_bytes() const { return tls ? TlsSession::bytes : 0; }

  std::unique_ptr<TlsSession> tls;  // null: plain

 private:
  // Once this is closed, the number of its descriptor may be another's.
  bool is_usable() const {
    errno = EBADF;
    return is_open();
  }
};

}  // namespace thaw::net::detail
