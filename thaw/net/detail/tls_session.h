// SPDX-License-Identifier: Apache-2.0
//
// TlsSession: the TLS of one accepted connection, between its descriptor and whoever reads and
// writes it. It has the calls of a socket that does not block, recv(2) and send(2), so that what
// stands above needs no second way of reading: -1 with EAGAIN is "not now". Bytes may be decrypted
// here that the kernel knows nothing of, so a reader takes until it is told EAGAIN before it waits.
// A stream that ends without TLS's own farewell was cut off by somebody: ECONNRESET. One call works
// on a bounded number of records, whatever the peer sends; who sends many that carry nothing (new
// keys, alerts) is broken off.
// The record layer, handshakes and all checks are OpenSSL's. Loop thread only.
#pragma once

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "thaw/net/tls.h"

// OpenSSL's own names of its types, which need no header here.
struct ssl_st;
struct bio_st;

namespace thaw::net::detail {

class TlsSession {
 public:
  // What it costs beside the buffers of its owner.
  static constexpr std::size_t bytes = 48u << 10;

  // `descriptor`: nothing of it has been read.
  TlsSession(std::shared_ptr<const TlsIdentities> identities, int descriptor);
  ~TlsSession();
  TlsSession(const TlsSession&) = delete;
  TlsSession& operator=(const TlsSession&) = delete;

  // Before the handshake: what is spoken inside is not this server's, which says nothing of it.
  void carry_anything();

  enum class Step { done, wants_read, wants_write, failed };
  // As far as it goes now.
  Step shake_hands();
  // Of a handshake that has failed.
  const std::string& failure() const { return failure_; }

  ssize_t receive(void* to, std::size_t room);
  // What was refused with EAGAIN comes first again, perhaps with more behind it.
  ssize_t send(const void* from, std::size_t size);
  ssize_t send(std::span<const iovec> pieces);
  // receive() may have something without a new event of the kernel.
  bool knows_more() const { return input_ != Input::waits; }
  // Tells the peer that nothing follows, as far as the kernel takes it now.
  void say_goodbye();

 private:
  enum class Input { unknown, waits, ended, broken };
  struct Wire;  // OpenSSL's view of the descriptor
  // What OpenSSL takes from the wire before it comes back to its caller.
  void watch_records();
  void saw_no_data();

  const std::shared_ptr<const TlsIdentities> identities_;
  const int descriptor_;
  std::string failure_;
  std::unique_ptr<ssl_st, void (*)(ssl_st*)> ssl_;
  Input input_ = Input::unknown;
  bool is_broken_ = false;        // for writing
  std::size_t may_read_ = 0;      // bytes, from the kernel, in the call that is under way
  std::size_t records_ = 0;       // likewise
  std::uint64_t carried_ = 0;     // bytes of data, in all
  std::uint64_t of_no_data_ = 0;  // records, in all
};

}  // namespace thaw::net::detail
