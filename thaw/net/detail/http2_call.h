// SPDX-License-Identifier: Apache-2.0
//
// Http2Call: one exchange on a connection to an HTTP/2 server, from the client's side. The
// request's body is queued within a bound and the answer's bytes wait here within the window of the
// stream: each side waits for the other. Whoever destroys it before its end, or cancels it, resets
// the stream. Owned by the task that asks; the connection knows it until its stream is closed. Loop
// thread only; one reader and one writer.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "thaw/async/event.h"
#include "thaw/net/detail/coarse_timer.h"
#include "thaw/net/detail/grpc_wire.h"
#include "thaw/net/http.h"

namespace thaw::net::detail {

class Http2Client;

class Http2Call {
 public:
  // The client gives it its stream.
  explicit Http2Call(std::shared_ptr<Http2Client> client);
  ~Http2Call();
  Http2Call(const Http2Call&) = delete;
  Http2Call& operator=(const Http2Call&) = delete;

  // -- the request's body

  // Queues all of it; nothing once the server takes no more.
  void queue(std::string data);
  // Queues, and waits while more than a bounded amount is unsent. An Error says that the server
  // takes no more; its answer may say why.
  async::Task<void> write(std::string data);
  // The body is whole; nothing is written after it.
  void end(Headers trailers);

  // -- the answer

  // Resumes when the final head is there. unavailable: the server broke off; deadline_exceeded.
  async::Task<void> until_head();
  // Next piece; nullopt at the end, when the trailers are there too. Errors as above.
  async::Task<std::optional<std::string>> read();
  // The answer is here to its end; read() does not wait.
  bool is_whole() const { return remote_ended_; }
  // Bytes of it are here that were not read.
  bool has_more() const { return !inbox_.empty(); }
  int status = 0;
  Headers headers;
  Headers trailers;

  // Resets the stream; whoever waits is told.
  void cancel();
  // The server says that it has not looked at the request: it may be sent again.
  bool was_refused() const { return refused_; }
  // Something of the answer has come.
  bool has_begun() const { return status != 0 || begun_; }

 private:
  friend class Http2Client;

  void wake();
  async::Task<void> wait();
  void fail(Error why);
  void consume(std::size_t count);
  std::size_t unsent() const { return queue_.size() - queue_begin_; }
  // nghttp2 asks for bytes of the body.
  ssize_t take(nghttp2_session* session, std::uint8_t* out, std::size_t most, std::uint32_t* flags);
  void on_bytes(std::string_view bytes);
  void on_close(std::uint32_t http2_error);

  std::shared_ptr<Http2Client> client_;
  std::int32_t id_ = 0;
  CoarseTimer::Alarm deadline_alarm_;

  std::string queue_;
  std::size_t queue_begin_ = 0;
  bool ended_ = false;
  bool sending_deferred_ = false;
  Headers request_trailers_;

  std::size_t header_bytes_ = 0;
  bool head_done_ = false;
  bool begun_ = false;
  Inbox inbox_;
  std::size_t unconsumed_ = 0;
  bool remote_ended_ = false;
  bool refused_ = false;
  bool closed_ = false;
  std::optional<Error> error_;
  async::Event changed_;
};

}  // namespace thaw::net::detail
