// SPDX-License-Identifier: Apache-2.0
#include "thaw/net/detail/tls_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "thaw/base/check.h"
#include "thaw/net/detail/tls_contexts.h"

namespace thaw::net::detail {

namespace {

// What one record carries.
constexpr std::size_t record_bytes = SSL3_RT_MAX_PLAIN_LENGTH;
// A step of a handshake reads so much; a first message is a part of it.
constexpr std::size_t handshake_step_bytes = 4u << 10;
// A call takes no further record behind so many. Full ones fill any buffer before.
constexpr std::size_t records_per_call = 16;
// Records without data that a connection may have, and the bytes of data that allow one more: keys
// are for gigabytes, and OpenSSL itself goes on to the next record after each.
constexpr std::uint64_t records_of_no_data = 32;
constexpr std::uint64_t bytes_for_another = 64u << 10;

}  // namespace

// A socket BIO of OpenSSL's own would raise SIGPIPE, and has no bound for a call.
struct TlsSession::Wire {
  static TlsSession& of(BIO* bio) { return *static_cast<TlsSession*>(BIO_get_data(bio)); }

  static int read(BIO* bio, char* to, int room) {
    TlsSession& session = of(bio);
    BIO_clear_retry_flags(bio);
    if (session.may_read_ == 0) {  // the rest in the next call
      BIO_set_retry_read(bio);
      return -1;
    }
    const std::size_t most = std::min(static_cast<std::size_t>(room), session.may_read_);
    ssize_t count = -1;
    do {
      count = ::recv(session.descriptor_, to, most, MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    session.may_read_ -= count > 0 ? static_cast<std::size_t>(count) : 0;
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      BIO_set_retry_read(bio);
    }
    return static_cast<int>(count);
  }

  static int write(BIO* bio, const char* from, int size) {
    BIO_clear_retry_flags(bio);
    ssize_t count = -1;
    do {
      count = ::send(of(bio).descriptor_, from, static_cast<std::size_t>(size),
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
      BIO_set_retry_write(bio);
    }
    return static_cast<int>(count);
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static BIO_METHOD* method() {
    static BIO_METHOD* const made = [] {
      BIO_METHOD* one = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "thaw socket");
      THAW_CHECK(one != nullptr);
      BIO_meth_set_read(one, read);
      BIO_meth_set_write(one, write);
      BIO_meth_set_ctrl(one, control);
      return one;
    }();
    return made;
  }
};

TlsSession::TlsSession(std::shared_ptr<const TlsIdentities> identities, int descriptor)
    : identities_(std::move(identities)),
      descriptor_(descriptor),
      ssl_(SSL_new(identities_->contexts().of("")), SSL_free) {
  BIO* bio = BIO_new(Wire::method());
  THAW_CHECK(ssl_ && bio != nullptr);  // out of memory
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
}

TlsSession::~TlsSession() = default;

void TlsSession::carry_anything() { SSL_set_app_data(ssl_.get(), this); }

TlsSession::Step TlsSession::shake_hands() {
  ERR_clear_error();
  may_read_ = handshake_step_bytes;
  const int outcome = SSL_do_handshake(ssl_.get());
  if (outcome == 1) {
    watch_records();
    return Step::done;
  }
  switch (SSL_get_error(ssl_.get(), outcome)) {
    case SSL_ERROR_WANT_READ: return Step::wants_read;
    case SSL_ERROR_WANT_WRITE: return Step::wants_write;
    default: break;
  }
  failure_ = ERR_peek_last_error() == 0 ? "the peer has closed" : openssl_reason();
  ERR_clear_error();
  input_ = Input::broken;
  is_broken_ = true;
  return Step::failed;
}

// The header of a record tells what is in it, but under the keys of TLS 1.3, where all say "data"
// and the true type is told once it is decrypted.
void TlsSession::watch_records() {
  const auto told = [](int is_ours, int, int kind, const void* bytes, std::size_t, SSL*,
                       void* session) {
    if (is_ours == 0 && (kind == SSL3_RT_HEADER || kind == SSL3_RT_INNER_CONTENT_TYPE)) {
      auto& self = *static_cast<TlsSession*>(session);
      self.records_ += kind == SSL3_RT_HEADER ? 1 : 0;
      if (*static_cast<const unsigned char*>(bytes) != SSL3_RT_APPLICATION_DATA) {
        self.saw_no_data();
      }
    }
  };
  SSL_set_msg_callback_arg(ssl_.get(), this);
  SSL_set_msg_callback(ssl_.get(), told);
}

// OpenSSL asks nobody whether it may go on; it does not where the peer has ended.
void TlsSession::saw_no_data() {
  if (++of_no_data_ > records_of_no_data + carried_ / bytes_for_another) {
    input_ = Input::broken;
    is_broken_ = true;
    SSL_set_shutdown(ssl_.get(), SSL_get_shutdown(ssl_.get()) | SSL_RECEIVED_SHUTDOWN);
  }
}

ssize_t TlsSession::receive(void* to, std::size_t room) {
  std::size_t got = 0;
  if (input_ == Input::waits) {
    input_ = Input::unknown;
  }
  records_ = 0;
  may_read_ = SIZE_MAX;
  while (got < room && input_ == Input::unknown && records_ < records_per_call) {
    ERR_clear_error();
    std::size_t count = 0;
    const int outcome = SSL_read_ex(ssl_.get(), static_cast<char*>(to) + got, room - got, &count);
    if (outcome == 1) {
      got += count;
      carried_ += count;
      continue;
    }
    if (input_ == Input::broken) {
      break;
    }
    switch (SSL_get_error(ssl_.get(), outcome)) {
      case SSL_ERROR_WANT_READ:
      case SSL_ERROR_WANT_WRITE: input_ = Input::waits; break;
      case SSL_ERROR_ZERO_RETURN: input_ = Input::ended; break;
      default:
        input_ = Input::broken;
        is_broken_ = true;
        break;
    }
  }
  ERR_clear_error();
  if (got > 0 || input_ == Input::ended) {
    return static_cast<ssize_t>(got);
  }
  errno = input_ == Input::waits ? EAGAIN : ECONNRESET;
  return room == 0 ? 0 : -1;
}

ssize_t TlsSession::send(const void* from, std::size_t size) {
  std::size_t sent = 0;
  bool is_held_up = false;
  may_read_ = record_bytes;
  while (sent < size && !is_held_up && !is_broken_) {
    ERR_clear_error();
    std::size_t count = 0;
    const int outcome = SSL_write_ex(ssl_.get(), static_cast<const char*>(from) + sent,
                                     std::min(size - sent, record_bytes), &count);
    if (outcome == 1) {
      sent += count;
      continue;
    }
    switch (SSL_get_error(ssl_.get(), outcome)) {
      case SSL_ERROR_WANT_WRITE: is_held_up = true; break;
      // Also where it wants to read first: the peer has begun a message of TLS's own and keeps the
      // rest, which nobody does by chance. The kernel would say "write" all the time.
      default: is_broken_ = true; break;
    }
  }
  ERR_clear_error();
  if (sent > 0 || size == 0) {
    return static_cast<ssize_t>(sent);
  }
  errno = is_broken_ ? EPIPE : EAGAIN;
  return -1;
}

// Small pieces leave as one record.
ssize_t TlsSession::send(std::span<const iovec> pieces) {
  if (!pieces.empty() && (pieces.size() == 1 || pieces.front().iov_len >= record_bytes)) {
    return send(pieces.front().iov_base, pieces.front().iov_len);
  }
  std::array<char, record_bytes> together;
  std::size_t size = 0;
  for (const iovec& piece : pieces) {
    const std::size_t count = std::min(piece.iov_len, together.size() - size);
    std::memcpy(together.data() + size, piece.iov_base, count);
    size += count;
  }
  return send(together.data(), size);
}

void TlsSession::say_goodbye() {
  if (!is_broken_ && SSL_is_init_finished(ssl_.get()) == 1) {
    ERR_clear_error();
    (void)SSL_shutdown(ssl_.get());
    ERR_clear_error();
  }
}

}  // namespace thaw::net::detail
