// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/edge_socket.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/detail/reactor.hpp>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstring>

#include "thaw/base/check.h"

namespace thaw::net::detail {

namespace asio = boost::asio;
using boost::system::error_code;

EdgeSocket::EdgeSocket(Socket socket, Done done)
    : Socket(std::move(socket)), done_(std::move(done)) {
  error_code ignored;
  non_blocking(true, ignored);
  const int yes = 1;
  // Refused where it is no TCP: then each read is tried. What is left of TLS is known above it.
  tells_rest_ = !tls && ::setsockopt(native_handle(), IPPROTO_TCP, TCP_INQ, &yes, sizeof yes) == 0;
  read_.socket = this;
}

std::size_t EdgeSocket::receive(asio::mutable_buffer room, error_code& error, bool& is_all) {
  if (tls) {
    return receive_decrypted(room, error, is_all);
  }
  iovec piece{room.data(), room.size()};
  alignas(cmsghdr) char told[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  ssize_t count = -1;
  do {
    message.msg_control = tells_rest_ ? told : nullptr;
    message.msg_controllen = tells_rest_ ? sizeof told : 0;
    count = ::recvmsg(native_handle(), &message, 0);
  } while (count < 0 && errno == EINTR);
  is_all = false;
  if (count <= 0) {
    error = count == 0 ? error_code(asio::error::eof)
                       : error_code(errno, boost::system::system_category());
    return 0;
  }
  error = {};
  if (const cmsghdr* header = CMSG_FIRSTHDR(&message);
      header != nullptr && header->cmsg_level == IPPROTO_TCP && header->cmsg_type == TCP_CM_INQ) {
    int rest = 0;
    std::memcpy(&rest, CMSG_DATA(header), sizeof rest);
    is_all = rest == 0;
  }
  return static_cast<std::size_t>(count);
}

std::size_t EdgeSocket::receive_decrypted(asio::mutable_buffer room, error_code& error,
                                          bool& is_all) {
  const ssize_t count = receive_now(room.data(), room.size());
  is_all = count > 0 && !knows_more();
  error = {};
  if (count <= 0) {
    error = count == 0 ? error_code(asio::error::eof)
                       : error_code(errno, boost::system::system_category());
    return 0;
  }
  return static_cast<std::size_t>(count);
}

std::size_t EdgeSocket::read_now(asio::mutable_buffer room, error_code& error) {
  bool is_all = false;
  return receive(room, error, is_all);
}

EdgeSocket::Read::Read() : reactor_op({}, &Read::perform, &Read::complete) {}

auto EdgeSocket::Read::perform(reactor_op* base) -> status {
  auto& read = *static_cast<Read*>(base);
  if (std::exchange(read.was_tried, false)) {
    return not_done;
  }
  bool is_all = false;
  read.bytes_transferred_ = read.socket->receive(read.room, read.ec_, is_all);
  if (read.ec_ == asio::error::would_block || read.ec_ == asio::error::try_again) {
    return not_done;
  }
  return is_all || read.bytes_transferred_ == 0 ? done_and_exhausted : done;
}

void EdgeSocket::Read::complete(void* scheduler, asio::detail::operation* base, const error_code&,
                                std::size_t) {
  auto& read = *static_cast<Read*>(base);
  // The owner's last reference may be one of these.
  const std::shared_ptr<void> owner = std::move(read.owner);
  std::optional<Handler> waiter = std::exchange(read.waiter, std::nullopt);
  if (scheduler == nullptr) {
    return;  // the loop is being destroyed
  }
  read.socket->done_(read.ec_, read.bytes_transferred_);
  if (waiter) {
    (*waiter)();
  }
}

void EdgeSocket::start_read(asio::mutable_buffer room, std::shared_ptr<void> owner, Tried tried) {
  THAW_CHECK(!is_reading());
  read_.room = room;
  read_.owner = std::move(owner);
  read_.was_tried = tried == Tried::in_vain;
  read_.ec_ = {};
  read_.bytes_transferred_ = 0;
  auto& reactor = asio::use_service<asio::detail::reactor>(get_executor().context());
  reactor.start_op(asio::detail::reactor::read_op, native_handle(),
                   impl_.get_implementation().reactor_data_, &read_, false, true);
  // The reactor has not asked where it knows that nothing is there.
  read_.was_tried = false;
}

asio::awaitable<void> EdgeSocket::read_done() {
  THAW_CHECK(is_reading() && !read_.waiter);
  return asio::async_initiate<const asio::use_awaitable_t<>, Signature>(
      [this](Handler handler) {
        auto slot = asio::get_associated_cancellation_slot(handler);
        read_.waiter.emplace(std::move(handler));
        if (slot.is_connected()) {
          slot.assign([this](asio::cancellation_type) { call_off_wait(); });
        }
      },
      asio::use_awaitable);
}

void EdgeSocket::call_off_wait() {
  if (auto waiter = std::exchange(read_.waiter, std::nullopt)) {
    asio::post(get_executor(), std::move(*waiter));
  }
}

}  // namespace thaw::net::detail
