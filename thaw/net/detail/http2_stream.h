// SPDX-License-Identifier: Apache-2.0
//
// Http2Stream: one request on an HTTP/2 connection, below gRPC and plain HTTP. It holds the request
// head, the bytes that have arrived and the bytes that wait to be sent, and gives its handler's
// task waiting reads and writes. Back-pressure: what the handler has not read is not given back to
// the peer's window; a write past the allowance waits until the connection has taken it. A large
// write is lent, not copied: it stays in the writer's memory until it is sent. Owned by the session
// (until the stream closes) and by its handler's task (until that ends); after the session is gone
// every operation fails. Loop thread only.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "thaw/async/event.h"
#include "thaw/async/task_group.h"
#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/detail/grpc_wire.h"
#include "thaw/net/detail/shares.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

class Http2Session;

class Http2Stream {
 public:
  Http2Stream(Http2Session& session, std::int32_t id, std::shared_ptr<Account> account);
  Http2Stream(const Http2Stream&) = delete;
  Http2Stream& operator=(const Http2Stream&) = delete;

  std::int32_t id() const { return id_; }
  HttpRequest& request() { return request_; }

  // --- for the handler's task ---

  // Next bytes, at most `most`; nullopt after the peer's end.
  async::Task<std::optional<std::string>> read(std::size_t most);
  // Next gRPC message; nullopt after the peer's end. A large one is asked for when its account has
  // room for it.
  async::Task<std::optional<std::string>> read_message(std::size_t limit);
  // Queues the head of the answer. Without a body the stream ends here.
  enum class Body { follows, none };
  void send_head(int status, const Headers& headers, Body body);
  // The same for fields that are known to be right; they are copied unless flagged otherwise.
  void send_fields(std::span<const nghttp2_nv> fields, Body body);
  void send_continue();  // 100
  bool head_sent() const { return head_sent_; }
  // The request has come to its end, and all of it was read.
  bool is_read() const { return remote_ended && inbox_.empty(); }
  // Small pieces are copied and return at once while the allowance lasts; larger ones are lent:
  // the bytes must stay where they are until the task ends.
  async::Task<void> send(std::vector<std::string_view> pieces);
  // Room for `count` bytes at the end of the queue, to be filled in at once; null if that would
  // pass the allowance, and then send() waits.
  char* try_send(std::size_t count);
  // No more bytes follow; trailers, if any, end the stream.
  void send_end(Headers trailers);
  void reset(std::uint32_t http2_error);
  // What was sent reaches the peer, and then a reset tells it that the answer is not whole.
  void break_off();
  bool broken_off() const { return broken_off_; }
  // For a complete answer: the peer has some time to end its side as well.
  void linger();
  // Room for a reply that is to be made, in the account of this stream; until it is over.
  async::Task<void> reserve_reply(std::size_t bytes);
  bool ended() const { return ended_; }
  bool gone() const { return closed_; }
  async::Task<void> until_gone();

  // --- for the session ---

  // Whose bytes they are, once the head has told. False: that account has no room for it.
  bool admit(std::shared_ptr<Account> account);
  // No handler will read this one; what comes is dropped.
  void refuse(Error why);
  const std::optional<Error>& refusal() const { return refusal_; }
  const Account& account() const { return *held_.account(); }
  void on_bytes(std::string_view bytes);
  void on_remote_end();
  // The stream is over: waiting operations fail, the handler's task is cancelled.
  void on_close();
  void detach() { session_ = nullptr; }
  std::size_t unsent() const { return queued_.size() - queued_begin_ + lent_bytes_; }
  // Moves `count` bytes of the queue to the end of `out`.
  void move_unsent(std::size_t count, std::string& out);

  // Set by the session as it goes.
  async::TaskGroup::Handle task;
  CoarseTimer::Alarm deadline_alarm;
  Instant deadline = Instant::max();
  std::size_t header_bytes = 0;
  bool header_overflow = false;
  bool remote_ended = false;
  bool sending_deferred = false;  // nghttp2 waits for resume_data
  Headers trailers;
  Headers request_trailers;
  bool is_tables = false;     // a gRPC call for the method table
  bool is_strangers = false;  // its head had no token, and it counts as one of those

 private:
  class Loan;

  Error gone_error() const;
  // Gives what the handler took back to the peer's window.
  void consume(std::size_t count);
  // Charges what is held now.
  void recount();
  async::Task<void> reserve_message(std::size_t bytes);
  void open_window(std::int32_t bytes);
  void wake();
  void queue_changed();
  async::Task<void> wait();
  std::size_t allowance() const;

  Http2Session* session_;
  const std::int32_t id_;
  HttpRequest request_;

  Held held_;
  std::size_t message_reserved_ = 0;
  std::size_t reply_reserved_ = 0;
  std::optional<Error> refusal_;  // why no more bytes are kept

  Inbox inbox_;
  std::int32_t window_ = 0;  // made larger than the first one
  std::size_t unconsumed_ = 0;
  std::size_t wanted_ = 0;  // a reader waits until the inbox holds this much

  std::string queued_;
  std::size_t queued_begin_ = 0;
  std::vector<std::string_view> lent_;  // sent after queued_, in order; [lent_begin_, end)
  std::size_t lent_begin_ = 0;
  std::size_t lent_bytes_ = 0;

  bool head_sent_ = false;
  bool ended_ = false;
  bool broken_off_ = false;
  bool closed_ = false;
  std::optional<async::Event> changed_;  // made by the first wait: most requests never wait
};

}  // namespace thaw::net::detail
